//! A small interpreter for the programs of the recorded cases, in `f64`.

use std::collections::HashMap;
use std::ops::Range;

use ndarray::{
    Array2, Array4, ArrayD, ArrayView3, Axis, AxisDescription, Ix1, Ix2, Ix3, Ix4, IxDyn, Slice, concatenate,
};
use prune::compact::Activation;
use serde_json::Value;

/// Runs a program and returns its output `y`.
pub fn run(
    program: &[Value],
    parameter: impl Fn(&str) -> ArrayD<f64>,
    inputs: HashMap<String, ArrayD<f64>>,
    attribute: impl Fn(&str) -> f64,
) -> ArrayD<f64> {
    let mut values = inputs;
    for op in program {
        let op = Op { fields: op, values: &values, parameter: &parameter, attribute: &attribute };
        let output = op.run();
        values.insert(op.text("out").to_owned(), output);
    }
    values.remove("y").unwrap()
}

struct Op<'p> {
    fields: &'p Value,
    values: &'p HashMap<String, ArrayD<f64>>,
    parameter: &'p dyn Fn(&str) -> ArrayD<f64>,
    attribute: &'p dyn Fn(&str) -> f64,
}

impl Op<'_> {
    fn text(&self, key: &str) -> &str {
        self.fields[key].as_str().unwrap()
    }

    fn value(&self, key: &str) -> &ArrayD<f64> {
        &self.values[self.text(key)]
    }

    fn optional(&self, key: &str) -> Option<ArrayD<f64>> {
        self.fields.get(key).and_then(Value::as_str).map(self.parameter)
    }

    fn weight(&self, key: &str) -> ArrayD<f64> {
        self.optional(key).unwrap()
    }

    /// A number, or the attribute of that name.
    fn number(&self, key: &str, default: f64) -> f64 {
        self.fields.get(key).map_or(default, |field| self.resolve(field))
    }

    fn resolve(&self, field: &Value) -> f64 {
        field.as_str().map_or_else(|| field.as_f64().unwrap(), self.attribute)
    }

    fn run(&self) -> ArrayD<f64> {
        match self.text("op") {
            "conv2d" => self.conv2d(),
            "linear" => self.linear(self.weight("weight").into_dimensionality::<Ix2>().unwrap().reversed_axes()),
            "linear_in_out" => self.linear(self.weight("weight").into_dimensionality().unwrap()),
            "batch_norm" => self.batch_norm(),
            "layer_norm" => self.norm(true),
            "rms_norm" => self.norm(false),
            "relu" => self.value("in").mapv(|x| Activation::Relu.apply(x)),
            "gelu" => self.value("in").mapv(|x| Activation::Gelu.apply(x)),
            "gelu_tanh" => self.value("in").mapv(|x| Activation::GeluTanh.apply(x)),
            "silu" => self.value("in").mapv(|x| Activation::Silu.apply(x)),
            "sigmoid" => self.value("in").mapv(|x| Activation::Sigmoid.apply(x)),
            "max_pool2d" => self.max_pool(),
            "global_avg_pool" => {
                let x = self.value("in");
                x.mean_axis(Axis(3)).unwrap().mean_axis(Axis(2)).unwrap()
            }
            "flatten" => {
                let x = self.value("in");
                x.to_shape(IxDyn(&[x.shape()[0], x.len() / x.shape()[0]])).unwrap().to_owned()
            }
            "add" => self.value("a") + self.value("b"),
            "mul" => self.value("a") * self.value("b"),
            "concat" => {
                let parts = self.fields["parts"].as_array().unwrap().iter();
                let parts: Vec<_> = parts.map(|part| self.values[part.as_str().unwrap()].view()).collect();
                concatenate(Axis(self.fields["axis"].as_u64().unwrap() as usize), &parts).unwrap()
            }
            "slice" => self.slice(),
            "embedding" => {
                let (table, indices) = (self.weight("weight"), self.value("in"));
                let rows: Vec<usize> = indices.iter().map(|&index| index as usize).collect();
                let shape = [indices.shape(), &table.shape()[1..]].concat();
                table.select(Axis(0), &rows).into_shape_with_order(shape).unwrap()
            }
            "attention" => self.attention(),
            other => panic!("{other}"),
        }
    }

    fn linear(&self, weight: Array2<f64>) -> ArrayD<f64> {
        let x = self.value("in");
        let (inputs, outputs) = weight.dim();
        let rows = x.to_shape((x.len() / inputs, inputs)).unwrap();
        let mut y = rows.dot(&weight);
        if let Some(bias) = self.optional("bias") {
            y += &bias.into_dimensionality::<Ix1>().unwrap();
        }
        let mut shape = x.shape().to_vec();
        *shape.last_mut().unwrap() = outputs;
        y.into_shape_with_order(shape).unwrap()
    }

    fn conv2d(&self) -> ArrayD<f64> {
        let x = self.value("in").view().into_dimensionality::<Ix4>().unwrap();
        let weight = self.weight("weight").into_dimensionality::<Ix4>().unwrap();
        let bias = self.optional("bias");
        let number = |key, default| self.number(key, default) as usize;
        let (stride, padding, groups) = (number("stride", 1.0), number("padding", 0.0), number("groups", 1.0));
        let (images, channels, height, width) = x.dim();
        let (outputs, inputs, kernel, _) = weight.dim();
        assert_eq!(channels, inputs * groups, "the input channels of a convolution");
        let mut padded = Array4::zeros((images, channels, height + 2 * padding, width + 2 * padding));
        let inside = [0..images, 0..channels, padding..padding + height, padding..padding + width];
        padded.slice_each_axis_mut(ranges(&inside)).assign(&x);
        let size = |size: usize| (size + 2 * padding - kernel) / stride + 1;
        let shape = (images, outputs, size(height), size(width));
        let y = Array4::from_shape_fn(shape, |(image, output, row, column)| {
            let first = output / (outputs / groups) * inputs;
            let (row, column) = (row * stride, column * stride);
            let window = [image..image + 1, first..first + inputs, row..row + kernel, column..column + kernel];
            let window = padded.slice_each_axis(ranges(&window));
            let product = (&window.index_axis(Axis(0), 0) * &weight.index_axis(Axis(0), output)).sum();
            product + bias.as_ref().map_or(0.0, |bias| bias[[output]])
        });
        y.into_dyn()
    }

    fn batch_norm(&self) -> ArrayD<f64> {
        let [weight, bias, mean, variance] = ["weight", "bias", "mean", "var"].map(|key| self.weight(key));
        let eps = self.number("eps", 0.0);
        let mut y = self.value("in").clone();
        for (channel, mut plane) in y.axis_iter_mut(Axis(1)).enumerate() {
            let c = [channel];
            plane.mapv_inplace(|x| (x - mean[c]) / (variance[c] + eps).sqrt() * weight[c] + bias[c]);
        }
        y
    }

    fn norm(&self, centred: bool) -> ArrayD<f64> {
        let (weight, bias, eps) = (self.weight("weight"), self.optional("bias"), self.number("eps", 0.0));
        let mut y = self.value("in").clone();
        let last = Axis(y.ndim() - 1);
        for mut row in y.lanes_mut(last) {
            let mean = if centred { row.mean().unwrap() } else { 0.0 };
            let square = row.mapv(|x| (x - mean).powi(2)).mean().unwrap();
            for (i, x) in row.iter_mut().enumerate() {
                let bias = bias.as_ref().map_or(0.0, |bias| bias[[i]]);
                *x = (*x - mean) / (square + eps).sqrt() * weight[[i]] + bias;
            }
        }
        y
    }

    fn max_pool(&self) -> ArrayD<f64> {
        let x = self.value("in").view().into_dimensionality::<Ix4>().unwrap();
        let size = self.number("size", 1.0) as usize;
        let (images, channels, height, width) = x.dim();
        let y = Array4::from_shape_fn((images, channels, height / size, width / size), |(i, c, row, column)| {
            let (row, column) = (row * size, column * size);
            let window = [i..i + 1, c..c + 1, row..row + size, column..column + size];
            let window = x.slice_each_axis(ranges(&window));
            window.fold(f64::NEG_INFINITY, |a, &b| a.max(b))
        });
        y.into_dyn()
    }

    fn slice(&self) -> ArrayD<f64> {
        let x = self.value("in");
        let sizes: Vec<isize> =
            self.fields["sizes"].as_array().unwrap().iter().map(|size| self.resolve(size) as isize).collect();
        let index = self.number("index", 0.0) as usize;
        let start: isize = sizes[..index].iter().sum();
        assert_eq!(sizes.iter().sum::<isize>(), x.shape()[x.ndim() - 1] as isize, "the sizes of a split");
        x.slice_axis(Axis(x.ndim() - 1), Slice::from(start..start + sizes[index])).to_owned()
    }

    fn attention(&self) -> ArrayD<f64> {
        let (heads, kv_heads) = (self.number("heads", 1.0) as usize, self.number("kv_heads", 1.0) as usize);
        let [q, k, v] = ["q", "k", "v"].map(|key| self.value(key).view().into_dimensionality::<Ix3>().unwrap());
        let (batch, length, width) = q.dim();
        let size = width / heads;
        assert_eq!((k.dim().2, width % heads), (size * kv_heads, 0), "the widths of keys and queries");
        let is_causal = self.fields["causal"].as_bool().unwrap();
        let theta = self.fields["theta"].as_f64();
        let mut y = ndarray::Array3::zeros((batch, length, width));
        for image in 0..batch {
            for head in 0..heads {
                let part = |head: usize| [image..image + 1, 0..length, head * size..(head + 1) * size];
                let of = |x: &ArrayView3<f64>, head: usize| {
                    x.slice_each_axis(ranges(&part(head))).index_axis(Axis(0), 0).to_owned()
                };
                let kv = head / (heads / kv_heads);
                let rotated = |x: Array2<f64>| if let Some(theta) = theta { rope(&x, theta) } else { x };
                let (q, k) = (rotated(of(&q, head)), rotated(of(&k, kv)));
                let mut scores = q.dot(&k.t()) / (size as f64).sqrt();
                for (i, mut row) in scores.outer_iter_mut().enumerate() {
                    if is_causal {
                        row.iter_mut().skip(i + 1).for_each(|x| *x = f64::NEG_INFINITY);
                    }
                    let highest = row.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
                    row.mapv_inplace(|x| (x - highest).exp());
                    let total = row.sum();
                    row /= total;
                }
                let output = scores.dot(&of(&v, kv)).insert_axis(Axis(0));
                y.slice_each_axis_mut(ranges(&part(head))).assign(&output);
            }
        }
        y.into_dyn()
    }
}

/// A range of each axis, for `slice_each_axis`.
fn ranges(ranges: &[Range<usize>]) -> impl FnMut(AxisDescription) -> Slice {
    |axis| Slice::from(ranges[axis.axis.index()].clone())
}

/// Rotary positions: the halves of each row are rotated.
fn rope(x: &Array2<f64>, theta: f64) -> Array2<f64> {
    let (length, size) = x.dim();
    let half = size / 2;
    Array2::from_shape_fn((length, size), |(position, i)| {
        let angle = position as f64 / theta.powf(2.0 * (i % half) as f64 / size as f64);
        let other = if i < half { -x[[position, i + half]] } else { x[[position, i - half]] };
        x[[position, i]] * angle.cos() + other * angle.sin()
    })
}
