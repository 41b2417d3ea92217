//! The times of requests to delete. They stand in nanoseconds; samples have milliseconds.

use skald_model::TimeRange;
use skald_proto::catalog::{DeleteRequest, Signal};

const NS_PER_MS: i64 = 1_000_000;

/// What times a request names, half-open: in milliseconds if it is for samples, else in nanoseconds.
pub fn deleted_times(request: &DeleteRequest) -> TimeRange {
    let DeleteRequest { start_ns, end_ns, .. } = *request;
    if request.signal() != Signal::Metrics {
        return TimeRange::new(start_ns, end_ns.saturating_add(1));
    }
    let ms = |ns: i64| match ns {
        i64::MIN | i64::MAX => ns,
        _ => ns.div_euclid(NS_PER_MS),
    };
    TimeRange::new(ms(start_ns), ms(end_ns).saturating_add(1))
}

/// A bound in milliseconds as a request has it; what no nanosecond reaches is no bound.
pub fn bound_ns(ms: i64) -> i64 {
    ms.saturating_mul(NS_PER_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_in_the_unit_of_the_signal() {
        let request = |signal: Signal, start_ns, end_ns| DeleteRequest {
            start_ns,
            end_ns,
            signal: signal.into(),
            ..DeleteRequest::default()
        };
        let of_samples =
            |start, end| deleted_times(&request(Signal::Metrics, bound_ns(start), bound_ns(end)));
        assert_eq!(of_samples(-7, 9), TimeRange::new(-7, 10));
        let far = i64::MAX / 4;
        assert_eq!(of_samples(-far, far), TimeRange::ALL);
        let lines = deleted_times(&request(Signal::Unspecified, -7, 9));
        assert_eq!(lines, TimeRange::new(-7, 10));
    }
}
