//! How many replicas must answer.

/// Replicas of a partition that must acknowledge a write: 1 of 1, 2 of 3.
pub fn write(n_replicas: usize) -> usize {
    n_replicas / 2 + 1
}

/// Replicas of a partition that must answer a read so that it meets every acknowledged write: 1 of 1, 2 of 3.
pub fn read(n_replicas: usize) -> usize {
    n_replicas - write(n_replicas) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_meet_writes() {
        assert_eq!((write(1), read(1)), (1, 1));
        assert_eq!((write(3), read(3)), (2, 2));
        for n in [1, 3, 5] {
            assert!(write(n) + read(n) > n);
        }
    }
}
