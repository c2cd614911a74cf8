//! The sparsity of many tensors: a row for each kind of tensor, a column for each layer.

use std::collections::{BTreeSet, HashMap};

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::canvas::{BLUE, Canvas, DrawResult, GREY, LEFT, RIGHT, TITLE, bar, fit_names, line, write};
use super::{PlottedTensor, format};
use crate::names::{CutName, Numbers, ranges};

/// The most rows. If there are more kinds, those with the fewest entries share the last row.
const MAX_ROWS: usize = 60;
/// The most columns. If there are more layers, neighbours share a column.
const MAX_COLUMNS: usize = 200;
const ROW: i32 = 18;
const TOP: i32 = 100;
const BELOW: i32 = 64;
/// The greatest width of a column, in pixels.
const MAX_CELL: i32 = 48;
/// The least distance of labels of layers, in pixels.
const LABEL: i32 = 34;

/// The zeros and the entries of some tensors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    tensors: usize,
    zeros: usize,
    entries: usize,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.tensors += other.tensors;
        self.zeros += other.zeros;
        self.entries += other.entries;
    }
}

/// A kind of tensor.
#[derive(Debug, Default)]
struct Row {
    /// The name of the tensors, with `*` for the layer.
    name: String,
    /// The tensors of each layer; `None` stands for tensors without a layer.
    layers: HashMap<Option<u64>, Sum>,
}

impl Row {
    fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        self.layers.values().for_each(|layer| sum.add(*layer));
        sum
    }
}

/// The content of the heat map.
pub struct HeatMap {
    rows: Vec<Row>,
    /// The layers of each column, in ascending order.
    columns: Vec<Vec<u64>>,
}

impl HeatMap {
    pub fn of(tensors: &[PlottedTensor]) -> Self {
        // Experts, say, get rows of their own if there is room.
        let ways = [(Numbers::Components, true), (Numbers::Components, false), (Numbers::All, false)];
        let mut tries = ways.into_iter().map(|(numbers, separate)| rows(tensors, numbers, separate));
        let rows = tries.find(|rows| rows.len() <= MAX_ROWS).unwrap_or_else(|| {
            let [(numbers, separate), ..] = ways;
            merge_small(rows(tensors, numbers, separate))
        });
        let layers: BTreeSet<u64> = rows.iter().flat_map(|row| row.layers.keys().copied().flatten()).collect();
        let layers: Vec<u64> = layers.into_iter().collect();
        let shared = layers.len().div_ceil(MAX_COLUMNS).max(1);
        Self { rows, columns: layers.chunks(shared).map(<[u64]>::to_vec).collect() }
    }

    /// Returns the height of the chart, in pixels.
    pub fn height(&self) -> u32 {
        (self.bottom() + BELOW) as u32
    }

    fn bottom(&self) -> i32 {
        TOP + ROW * self.rows.len() as i32
    }

    pub fn draw(&self, canvas: &Canvas) -> DrawResult {
        write(canvas, "Sparsity of each kind of tensor, by layer", (LEFT, TITLE), 20, BLACK, HPos::Left)?;
        draw_scale(canvas)?;
        let (names, left) = fit_names(self.rows.iter().map(|row| row.name.as_str()));
        let columns = self.columns.len().max(1) as i32;
        let right = RIGHT.min(left + columns * MAX_CELL);
        let x = |column: usize| left + (right - left) * column as i32 / columns;
        let mut y = TOP;
        for (row, name) in self.rows.iter().zip(&names) {
            let cell = |left: i32, right: i32, sum: Sum| {
                bar(canvas, [(left, y + 1), ((right - 1).max(left + 1), y + ROW - 1)], shade(sum))
            };
            if let Some(&sum) = row.layers.get(&None) {
                cell(left, right, sum)?;
            }
            for (column, layers) in self.columns.iter().enumerate() {
                let mut sum = Sum::default();
                layers.iter().filter_map(|&layer| row.layers.get(&Some(layer))).for_each(|layer| sum.add(*layer));
                if sum.tensors > 0 {
                    cell(x(column), x(column + 1), sum)?;
                }
            }
            let middle = y + ROW / 2;
            write(canvas, name, (left - 8, middle), 12, GREY, HPos::Right)?;
            let Sum { zeros, entries, .. } = row.sum();
            write(canvas, &format::percent(zeros, entries), (right + 8, middle), 12, GREY, HPos::Left)?;
            y += ROW;
        }
        self.draw_layers(canvas, x)?;
        let note = self.note();
        write(canvas, &note, (left, self.bottom() + 42), 13, GREY, HPos::Left)
    }

    /// Labels the columns with the numbers of their first layers.
    fn draw_layers(&self, canvas: &Canvas, x: impl Fn(usize) -> i32) -> DrawResult {
        let width = (x(self.columns.len()) - x(0)) / self.columns.len().max(1) as i32;
        let labelled =
            [1, 2, 5, 10, 20, 50, 100].into_iter().find(|step| *step as i32 * width.max(1) >= LABEL).unwrap_or(200);
        for (column, layers) in self.columns.iter().enumerate().step_by(labelled) {
            let middle = (x(column) + x(column + 1)) / 2;
            line(canvas, (middle, self.bottom() + 2), (middle, self.bottom() + 7), GREY)?;
            write(canvas, &layers[0].to_string(), (middle, self.bottom() + 17), 13, GREY, HPos::Center)?;
        }
        Ok(())
    }

    /// Says what a cell is, if it may be more than one tensor, and what a row without cells is.
    fn note(&self) -> String {
        let mut note = "layer".to_owned();
        let shared = self.columns.first().map_or(1, Vec::len);
        if shared > 1 {
            note += &format!("; a column is the mean of {shared} layers");
        }
        let most = self.rows.iter().flat_map(|row| row.layers.values()).map(|sum| sum.tensors).max().unwrap_or(0);
        if most > 1 {
            note += &format!("; a cell is the mean of up to {} of a layer", format::counted(most, "tensor"));
        }
        if self.rows.iter().any(|row| row.layers.contains_key(&None)) {
            note += "; a tensor without a layer fills its row";
        }
        note
    }
}

/// Returns the rows in the order of their first tensors. The layer is the first number that differs between tensors whose
/// names are equal otherwise. The other numbers have rows of their own if `separate`.
fn rows(tensors: &[PlottedTensor], numbers: Numbers, separate: bool) -> Vec<Row> {
    let cuts: Vec<CutName> = tensors.iter().map(|tensor| CutName::of(&tensor.name, numbers)).collect();
    let mut values: HashMap<&[&str], Vec<BTreeSet<u64>>> = HashMap::new();
    for CutName { texts, numbers } in &cuts {
        let values = values.entry(texts).or_insert_with(|| vec![BTreeSet::new(); numbers.len()]);
        for (values, &number) in values.iter_mut().zip(numbers) {
            values.insert(number);
        }
    }
    let mut rows: Vec<Row> = Vec::new();
    let mut places: HashMap<(&[&str], Vec<u64>), usize> = HashMap::new();
    for (tensor, CutName { texts, numbers }) in tensors.iter().zip(&cuts) {
        let values = &values[&texts[..]];
        let layer = values.iter().position(|values| values.len() > 1).unwrap_or(0);
        let others = |&(place, _): &(usize, &u64)| place != layer;
        let key = numbers.iter().enumerate().filter(others).map(|(_, &number)| number).filter(|_| separate).collect();
        let place = *places.entry((texts, key)).or_insert_with(|| {
            let number = |place: usize| match place {
                place if place == layer => "*".to_owned(),
                place if separate => numbers[place].to_string(),
                place => ranges(&values[place]),
            };
            let numbers = (0..numbers.len()).map(number).chain([String::new()]);
            let name = texts.iter().zip(numbers).map(|(text, number)| format!("{text}{number}")).collect();
            rows.push(Row { name, ..Row::default() });
            rows.len() - 1
        });
        let sum = Sum { tensors: 1, zeros: tensor.zeros, entries: tensor.entries };
        rows[place].layers.entry(numbers.get(layer).copied()).or_default().add(sum);
    }
    rows
}

/// Replaces the rows with the fewest entries by one.
fn merge_small(rows: Vec<Row>) -> Vec<Row> {
    let mut sizes: Vec<usize> = rows.iter().map(|row| row.sum().entries).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let least = sizes[MAX_ROWS - 2];
    let (mut kept, mut small): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| row.sum().entries >= least);
    // Rows of equal size may be too many.
    small.extend(kept.split_off(kept.len().min(MAX_ROWS - 1)));
    let mut rest = Row { name: format!("{} smaller kinds", format::count(small.len())), ..Row::default() };
    for (layer, sum) in small.into_iter().flat_map(|row| row.layers) {
        rest.layers.entry(layer).or_default().add(sum);
    }
    kept.push(rest);
    kept
}

/// Returns the colour of a sparsity: from pale for 0 over blue to dark blue for 1.
fn shade(sum: Sum) -> RGBColor {
    const PALE: RGBColor = RGBColor(231, 240, 247);
    const DARK: RGBColor = RGBColor(0, 30, 62);
    let sparsity = sum.zeros as f64 / sum.entries.max(1) as f64;
    let mix = |from: RGBColor, to: RGBColor, part: f64| {
        let mix = |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * part).round() as u8;
        RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
    };
    if sparsity < 0.6 { mix(PALE, BLUE, sparsity / 0.6) } else { mix(BLUE, DARK, (sparsity - 0.6) / 0.4) }
}

/// Draws the scale of colours.
fn draw_scale(canvas: &Canvas) -> DrawResult {
    const WIDTH: i32 = 200;
    let y = TITLE + 22;
    for percent in 0..100 {
        let x = |percent: i32| LEFT + 16 + WIDTH * percent / 100;
        let sum = Sum { tensors: 1, zeros: percent as usize, entries: 99 };
        bar(canvas, [(x(percent), y), (x(percent + 1), y + 12)], shade(sum))?;
    }
    for percent in [0, 50, 100] {
        let x = LEFT + 16 + WIDTH * percent / 100;
        write(canvas, &format!("{percent} %"), (x, y + 22), 13, GREY, HPos::Center)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prune::checkpoint::Magnitudes;

    use super::*;

    static NONE: Magnitudes = Magnitudes { smallest: None, largest: None, log2: Vec::new(), infinite: 0, nan: 0 };

    fn heat_map(names: impl IntoIterator<Item = String>) -> HeatMap {
        let tensor = |(zeros, name)| PlottedTensor { name, entries: 100, zeros, masked: 0, magnitudes: &NONE };
        HeatMap::of(&names.into_iter().enumerate().map(tensor).collect::<Vec<_>>())
    }

    fn names(heat_map: &HeatMap) -> Vec<&str> {
        heat_map.rows.iter().map(|row| row.name.as_str()).collect()
    }

    #[test]
    fn a_row_for_each_kind_and_a_column_for_each_layer() {
        let layers =
            (0..32).flat_map(|layer| ["up", "down"].map(|kind| format!("model.layers.{layer}.mlp.{kind}.weight")));
        let found = heat_map(layers.chain(["lm_head.weight".into(), "model.layers.7.only.weight".into()]));
        let expected = [
            "model.layers.*.mlp.up.weight",
            "model.layers.*.mlp.down.weight",
            "lm_head.weight",
            "model.layers.*.only.weight",
        ];
        assert_eq!(names(&found), expected);
        assert_eq!(found.columns.concat(), (0..32).collect::<Vec<_>>());
        assert_eq!(found.rows[1].layers[&Some(3)], Sum { tensors: 1, zeros: 7, entries: 100 });
        assert_eq!(found.rows[2].layers[&None].zeros, 64);
        assert!(found.rows[3].layers.contains_key(&Some(7)));
    }

    /// A number that never changes is no layer.
    #[test]
    fn the_layer_is_the_first_number_that_differs() {
        let found = heat_map((0..70).map(|layer| format!("0.layers.{layer}.3.weight")));
        assert_eq!((names(&found), found.columns.len()), (vec!["0.layers.*.3.weight"], 70));
    }

    #[test]
    fn experts_share_a_row_if_there_are_many() {
        let experts = |experts: u64| {
            heat_map((0..4).flat_map(|layer| (0..experts).map(move |expert| format!("l.{layer}.experts.{expert}.w"))))
        };
        assert_eq!(names(&experts(60))[1], "l.*.experts.1.w");
        let found = experts(61);
        assert_eq!(names(&found), ["l.*.experts.{0..60}.w"]);
        assert_eq!(found.rows[0].layers[&Some(1)].tensors, 61);
        assert!(found.note().ends_with("a cell is the mean of up to 61 tensors of a layer"));
    }

    #[test]
    fn the_picture_has_a_limit() {
        let many_layers = heat_map((0..12_000).map(|layer| format!("t{layer}.w")));
        assert_eq!((names(&many_layers), many_layers.columns.len()), (vec!["t*.w"], MAX_COLUMNS));
        assert!(many_layers.note().contains("a column is the mean of 60 layers"));
        let letters = |i: u32| char::from_u32(u32::from('一') + i).unwrap();
        let many_kinds = heat_map((0..12_000).map(|i| format!("{}.w", letters(i))));
        assert_eq!(many_kinds.rows.len(), MAX_ROWS);
        assert_eq!(names(&many_kinds)[MAX_ROWS - 1], "11,941 smaller kinds");
        assert_eq!(many_kinds.rows.iter().map(|row| row.sum().tensors).sum::<usize>(), 12_000);
        assert!(many_kinds.height() < 1400);
    }

    #[test]
    fn more_zeros_are_darker() {
        let shades: Vec<u32> = (0..=100)
            .map(|zeros| shade(Sum { tensors: 1, zeros, entries: 100 }))
            .map(|RGBColor(r, g, b)| u32::from(r) + u32::from(g) + u32::from(b))
            .collect();
        assert!(shades.is_sorted_by(|a, b| a > b));
        assert_eq!(shade(Sum { tensors: 1, zeros: 60, entries: 100 }), BLUE);
    }
}
