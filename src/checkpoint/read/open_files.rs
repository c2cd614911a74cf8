//! The files that are open at a time. An operating system allows a process about a thousand, and a checkpoint may have more.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Mutex};

use crate::tensor::parallel::lock;

/// The most files that stay open: several for each thread that reads.
const MOST: usize = 64;

/// The files that were used last, by the numbers of their shards.
#[derive(Debug, Default)]
pub(crate) struct OpenFiles(Mutex<VecDeque<(usize, Arc<File>)>>);

impl OpenFiles {
    /// Returns the file of a shard, and opens it if it is closed. A file in use stays open until its last user drops it.
    pub fn get<E>(&self, shard: usize, open: impl FnOnce() -> Result<File, E>) -> Result<Arc<File>, E> {
        let mut files = lock(&self.0);
        let place = files.iter().position(|(number, _)| *number == shard);
        let file = match place.and_then(|place| files.remove(place)) {
            Some((_, file)) => file,
            None => Arc::new(open()?),
        };
        files.push_back((shard, Arc::clone(&file)));
        if files.len() > MOST {
            files.pop_front();
        }
        Ok(file)
    }

    /// Returns the file of a shard if it is open.
    pub fn find(&self, shard: usize) -> Option<Arc<File>> {
        lock(&self.0).iter().find(|(number, _)| *number == shard).map(|(_, file)| Arc::clone(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_that_were_used_last_stay_open() {
        let files = OpenFiles::default();
        let open = || tempfile::tempfile();
        for shard in 0..MOST {
            files.get(shard, open).unwrap();
        }
        // The first is used once more, so the second is the oldest.
        files.get(0, || -> std::io::Result<File> { panic!("it is open") }).unwrap();
        files.get(MOST, open).unwrap();
        let is_open = |shard| files.find(shard).is_some();
        assert!(is_open(0) && !is_open(1) && (2..=MOST).all(is_open));
        // An error leaves the others alone.
        assert!(files.get(1, || Err(())).is_err());
        assert!(is_open(0) && !is_open(1) && (2..=MOST).all(is_open));
    }
}
