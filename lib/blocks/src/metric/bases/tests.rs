use skald_codec::chunk::grid::{self, ONE, put_predicted};
use skald_codec::chunk::{ChunkError, encode_floats};

use super::*;
use crate::chunks::put_list_item;
use crate::metric::Grids;
use crate::metric::grids::Table;

const N: usize = 70;

/// A table of one grid, its chunk with the values 0, 1, 2, ..., and the grid.
fn plain() -> (Arc<Grids>, Vec<u8>) {
    let times: Vec<i64> = (0..N as i64).map(|i| i * 10 + i % 3).collect();
    let values: Vec<f64> = (0..N).map(|i| i as f64).collect();
    let mut chunk = Vec::new();
    encode_floats(&times, &values, &mut chunk);
    let all = [chunk.clone().into(), chunk.clone().into()];
    let table = Table::of(all.iter());
    let grids = Arc::new(Grids::parse(table.encoded().into()).unwrap());
    let mut cell = Vec::new();
    let mut body = Vec::new();
    grid::split(&chunk).unwrap().unwrap().1.put(0, &mut body);
    put_list_item(&body, &mut cell);
    (grids, cell)
}

/// One more than the row so many above, at every time.
fn predicted(rows_up: u32, number: u32) -> Vec<u8> {
    let (mut chunk, mut cell) = (Vec::new(), Vec::new());
    put_predicted(number, Base { rows_up, slope: ONE }, &[1.0; N], &mut chunk);
    put_list_item(&chunk, &mut cell);
    cell
}

fn decode(cells: &[Vec<u8>], bases: &Bases, row: u32) -> Result<Vec<f64>, ChunkError> {
    let (grids, _) = plain();
    let page = Page::of_floats(Arc::clone(&grids), cells);
    let grid = grids.get(0).unwrap();
    let (chunk, off) = page.on_grid(row, 0, &grid)?.unwrap();
    let at = At { page: &page, number_of_page: 0, row, chunk, grid: 0 };
    let mut values = Vec::new();
    let mut complete =
        |base, window, values: &mut [f64]| bases.complete(at, &grid, (base, window), values);
    off.values(&grid, 10..20, &mut complete, &mut values)?;
    Ok(values)
}

#[test]
fn chains_are_followed_in_any_order_with_and_without_memory() {
    let mut cells = vec![plain().1];
    cells.extend((0..5).map(|_| predicted(1, 0)));
    for bases in [Bases::new(9, N), Bases::new(0, 0)] {
        for row in [3, 0, 5, 4, 4, 1, 2, 5] {
            let expected: Vec<f64> = (10..20).map(|i| f64::from(i + row)).collect();
            assert_eq!(decode(&cells, &bases, row).unwrap(), expected, "{row}");
        }
    }
}

#[test]
fn what_cannot_be_completed_is_an_error() {
    let above = decode(&[plain().1, predicted(2, 0)], &Bases::new(9, N), 1);
    assert!(above.is_err(), "a row above the page");
    let mut long = vec![plain().1];
    long.extend((0..40).map(|_| predicted(1, 0)));
    assert!(decode(&long, &Bases::new(0, 0), 17).is_ok());
    let deep = decode(&long, &Bases::new(0, 0), 18);
    assert!(matches!(deep, Err(ChunkError::Malformed(_))), "a chain without end");
    let empty = decode(&[Vec::new(), predicted(1, 0)], &Bases::new(9, N), 1);
    assert!(empty.is_err(), "a row without a chunk on the grid");
}
