//! A reference in files under temporary names, which are gone unless they are kept.
//!
//! A document of millions of chunks is larger than what it was made from: it is written piece by piece, and read back
//! so. The files of a draft are what gets published, so what was proven of them is true of that.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use virtualize::VirtualDataset;
use virtualize::kerchunk::{KerchunkError, json, parquet};

use super::wants_tables;

/// A document up to this size is read back in one piece, which is faster.
const IN_ONE_PIECE: u64 = 32 << 20;

/// What a draft is written as.
#[derive(Debug, Clone)]
pub struct Form {
    /// File of the document; none where tables are all that is wanted.
    pub document: Option<PathBuf>,
    /// Folder of the tables; beside a document they are written past 100 000 chunks only.
    pub tables: Option<PathBuf>,
    /// Chunks in one table.
    pub record_size: u64,
}

impl Form {
    /// One document, whatever its size.
    pub const fn of_document(document: PathBuf) -> Self {
        Self {
            document: Some(document),
            tables: None,
            record_size: parquet::DEFAULT_RECORD_SIZE,
        }
    }
}

/// The files of a reference before they get their names.
#[derive(Debug)]
pub struct Draft {
    form: Form,
    document_size: u64,
    tables_size: Option<u64>,
}

impl Draft {
    /// Writes a dataset.
    ///
    /// # Errors
    ///
    /// Whatever the file system answers; [`io::ErrorKind::InvalidData`] for what no reference can say.
    pub fn write(form: Form, dataset: &VirtualDataset) -> io::Result<Self> {
        let mut draft = Self {
            form,
            document_size: 0,
            tables_size: None,
        };
        let wanted = draft.form.document.is_none() || wants_tables(dataset);
        if let Some(folder) = draft.form.tables.as_deref().filter(|_| wanted) {
            draft.tables_size = Some(0);
            draft.tables_size = Some(write_tables(folder, dataset, draft.form.record_size)?);
        }
        if let Some(document) = draft.form.document.as_deref() {
            make_parent(document)?;
            draft.document_size = json::write(dataset, File::create(document)?)?;
        }
        Ok(draft)
    }

    /// The file of the document, if one was written.
    pub fn document(&self) -> Option<&Path> {
        self.form.document.as_deref()
    }

    /// The folder of the tables, if any were written.
    pub fn tables(&self) -> Option<&Path> {
        let folder = self.form.tables.as_deref();
        folder.filter(|_| self.tables_size.is_some())
    }

    /// Bytes of the document, or else of the tables.
    pub fn size(&self) -> u64 {
        match self.form.document {
            Some(_) => self.document_size,
            None => self.tables_size.unwrap_or(0),
        }
    }

    /// What readers will find.
    ///
    /// # Errors
    ///
    /// [`KerchunkError`].
    pub fn read(&self) -> Result<VirtualDataset, KerchunkError> {
        match (self.document(), self.tables()) {
            (Some(document), _) if self.document_size <= IN_ONE_PIECE => {
                let bytes = std::fs::read(document);
                json::read(&bytes.map_err(|source| unreadable(document, source))?)
            }
            (Some(document), _) => json::read_from(|| File::open(document)),
            (None, Some(folder)) => read_tables(folder),
            (None, None) => Err(unreadable(Path::new(""), io::ErrorKind::NotFound.into())),
        }
    }

    /// SHA-256 of the document.
    ///
    /// # Errors
    ///
    /// Whatever the file system answers.
    pub fn sha256(&self) -> io::Result<[u8; 32]> {
        let mut hasher = Sha256::new();
        if let Some(document) = self.document() {
            let mut file = File::open(document)?;
            let mut buffer = vec![0; 1 << 20];
            loop {
                match io::Read::read(&mut file, &mut buffer)? {
                    0 => break,
                    count => hasher.update(buffer.get(..count).unwrap_or_default()),
                }
            }
        }
        Ok(hasher.finalize().into())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // What is left is of no use, and may be in its place by now; that it cannot be removed changes nothing.
        if let Some(document) = self.document() {
            std::fs::remove_file(document).ok();
        }
        if let Some(folder) = self.tables() {
            std::fs::remove_dir_all(folder).ok();
        }
    }
}

fn unreadable(path: &Path, source: io::Error) -> KerchunkError {
    let name = path.display().to_string();
    KerchunkError::Fetch { name, source }
}

fn make_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent();
    match parent.filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => std::fs::create_dir_all(folder),
        None => Ok(()),
    }
}

/// The dataset of the Parquet set in a folder.
///
/// # Errors
///
/// [`KerchunkError`].
pub fn read_tables(folder: &Path) -> Result<VirtualDataset, KerchunkError> {
    parquet::read(|name| match std::fs::read(folder.join(name)) {
        Ok(bytes) => Ok(Some(Bytes::from(bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    })
}

fn write_tables(folder: &Path, dataset: &VirtualDataset, record_size: u64) -> io::Result<u64> {
    std::fs::create_dir_all(folder)?;
    let mut size = 0u64;
    for file in parquet::files(dataset, record_size)? {
        let file = file?;
        let path = folder.join(&file.name);
        make_parent(&path)?;
        std::fs::write(&path, &file.bytes)?;
        size = size.saturating_add(u64::try_from(file.bytes.len()).unwrap_or(u64::MAX));
    }
    Ok(size)
}
