use arrow_array::cast::AsArray;
use arrow_array::types::TimestampNanosecondType;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

/// What a reader finds: time, line, and the labels of the three maps as text.
fn read(file: Vec<u8>) -> Vec<(i64, String, [String; 3])> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).unwrap();
    let mut out = Vec::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let times = batch.column(0).as_primitive::<TimestampNanosecondType>().clone();
        let lines = batch.column(1).as_string::<i32>().clone();
        for row in 0..batch.num_rows() {
            let map = |column: usize| {
                let entries = batch.column(column).as_map().value(row);
                let (keys, values) = (entries.column(0), entries.column(1));
                let pairs = keys.as_string::<i32>().iter().zip(values.as_string::<i32>());
                let pair =
                    |(k, v): (Option<&str>, Option<&str>)| format!("{}={}", k.unwrap(), v.unwrap());
                pairs.map(pair).collect::<Vec<_>>().join(",")
            };
            let maps = [map(2), map(3), map(4)];
            out.push((times.value(row), lines.value(row).to_owned(), maps));
        }
    }
    out
}

fn line<'a>(timestamp_ns: i64, line: &'a [u8], sets: &'a [Labels; 3]) -> ExportLine<'a> {
    let [labels, structured_metadata, parsed] = sets;
    ExportLine { timestamp_ns, line, labels, structured_metadata, parsed }
}

#[test]
fn lines_come_back_with_their_labels() {
    let full = [
        Labels::from_pairs([("app", "a"), ("env", "p")]),
        Labels::from_pairs([("trace", "1")]),
        Labels::from_pairs([("level", "ö")]),
    ];
    let empty = [Labels::empty(), Labels::empty(), Labels::empty()];
    let mut writer = ExportWriter::new().unwrap();
    writer.push(&line(-1, b"one", &full)).unwrap();
    writer.push(&line(i64::MAX, b"\xff two", &empty)).unwrap();
    let mut file = writer.take();
    file.extend(writer.finish().unwrap());
    let maps = ["app=a,env=p", "trace=1", "level=ö"].map(str::to_owned);
    let none = || [String::new(), String::new(), String::new()];
    assert_eq!(
        read(file),
        [(-1, "one".to_owned(), maps), (i64::MAX, "\u{fffd} two".to_owned(), none())]
    );
}

#[test]
fn a_file_without_lines_is_a_file() {
    assert_eq!(read(ExportWriter::new().unwrap().finish().unwrap()), []);
}

#[test]
fn finished_row_groups_can_be_taken_while_more_come() {
    let sets = [Labels::from_pairs([("app", "a")]), Labels::empty(), Labels::empty()];
    let mut writer = ExportWriter::new().unwrap();
    let (mut file, mut pieces, mut held) = (Vec::new(), 0, 0);
    let n_rows = 2 * GROUP_ROWS + 10;
    for i in 0..n_rows {
        // Text that does not pack well.
        let text = format!("{:x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        writer.push(&line(i as i64, text.as_bytes(), &sets)).unwrap();
        let ready = writer.take();
        pieces += usize::from(ready.len() > 1000);
        file.extend(ready);
        held = held.max(writer.writer.in_progress_size());
    }
    assert_eq!(pieces, 2, "one piece for each row group");
    assert!(held < GROUP_BYTES + BATCH_BYTES, "{held}");
    file.extend(writer.finish().unwrap());
    let rows = read(file);
    assert_eq!(rows.len(), n_rows);
    assert!(rows.iter().enumerate().all(|(i, r)| r.0 == i as i64));
}
