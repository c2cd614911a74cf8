//! [`Segments`]: runs of kept values with the indices of their columns.

/// Runs of values one behind the other, each value with the index of its column in a panel.
#[derive(Clone)]
pub(super) struct Segments<V, I> {
    /// The number of values of each run.
    lens: Vec<u16>,
    pub indices: Vec<I>,
    pub values: Vec<V>,
}

impl<V, I> Segments<V, I> {
    /// Returns no runs, with memory for `values` values.
    pub(super) fn with_capacity(values: usize) -> Self {
        Self { lens: Vec::new(), indices: Vec::with_capacity(values), values: Vec::with_capacity(values) }
    }

    /// Ends a run that begins with the value of this number.
    pub(super) fn end(&mut self, start: usize) {
        // A run lies in one panel, of at most 1024 columns.
        self.lens.push((self.values.len() - start) as u16);
    }

    /// The memory that they take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.lens[..]) + size_of_val(&self.indices[..]) + size_of_val(&self.values[..])
    }

    /// Returns the indices and the values of each run.
    #[inline(always)]
    pub(super) fn walk(&self) -> Walk<'_, V, I> {
        Walk { lens: self.lens.iter(), indices: &self.indices, values: &self.values }
    }
}

/// A walk through segments. A struct of its own, so that it is compiled with the vector instructions of the loop around it.
pub(super) struct Walk<'s, V, I> {
    lens: std::slice::Iter<'s, u16>,
    indices: &'s [I],
    values: &'s [V],
}

impl<'s, V, I> Iterator for Walk<'s, V, I> {
    type Item = (&'s [I], &'s [V]);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::from(*self.lens.next()?);
        let (indices, values);
        (indices, self.indices) = self.indices.split_at(len);
        (values, self.values) = self.values.split_at(len);
        Some((indices, values))
    }
}
