//! One dataset as one Zarr array.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::dataset::{Layout, VirtualArray};
use crate::decode::{Cost, DecodeOptions, SourceBuffer};
use crate::hdf5::{Dataset, DatatypeClass, Geometry, Storage};
use crate::netcdf4::attribute::{dropped, to_json};
use crate::netcdf4::data_type::{element, element_type};
use crate::netcdf4::dimension::{Used, attribute, full_shape};
use crate::netcdf4::fill::{cf_fill_value, infinite_missing_value, write_out_missing};
use crate::netcdf4::recast::Recast;
use crate::netcdf4::storage::{Extent, Stored, stored_within};
use crate::netcdf4::text;
use crate::rules::{Finding, Grade};
use crate::zarr::DataType;

/// A dataset on its way to become an array.
#[derive(Debug)]
pub(super) struct Variable<'a> {
    /// Absolute path in the file.
    pub(super) path: String,
    /// Names of the groups above it.
    pub(super) group: Vec<String>,
    /// Name of the array.
    pub(super) name: String,
    /// The dataset.
    pub(super) dataset: &'a Dataset,
    /// Its dimensions.
    pub(super) dimensions: &'a [Used],
}

/// What is the same for all variables of a file.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    /// Sizes of addresses and lengths.
    pub(super) geometry: Geometry,
    /// Names of variables that are bounds.
    pub(super) bounds: &'a BTreeSet<String>,
    /// The bytes of the file.
    pub(super) buffer: &'a SourceBuffer,
    /// What to inline.
    pub(super) options: &'a DecodeOptions,
}

/// What became of a variable.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The array, or the reason why there is none.
    pub(super) array: Result<VirtualArray, String>,
    /// Whether its loss makes the file unfit to publish.
    pub(super) is_data: bool,
    /// What is worth telling.
    pub(super) findings: Vec<Finding>,
}

impl Variable<'_> {
    /// Makes the array, reading what has to be inlined.
    pub(super) async fn array(&self, scene: &Scene<'_>) -> Outcome {
        let mut findings = Vec::new();
        let array = self.convert(scene, &mut findings).await;
        Outcome {
            array,
            is_data: self.is_data(scene.bounds),
            findings,
        }
    }

    async fn convert(
        &self,
        scene: &Scene<'_>,
        findings: &mut Vec<Finding>,
    ) -> Result<VirtualArray, String> {
        let dataset = self.dataset;
        if dataset.dataspace.shape().is_none() {
            return Err(String::from("it has no value (null dataspace)"));
        }
        let shape = full_shape(dataset);
        let dimension_names = self.dimension_names(&shape, findings)?;
        spend_names(&dimension_names, scene.buffer)?;
        let (data_type, stored) = self.data(&shape, scene, findings).await?;
        self.tell_what_is_outside(findings);
        let mut array = VirtualArray {
            shape,
            chunk_shape: stored.chunk_shape,
            data_type,
            fill_value: None,
            codecs: stored.codecs,
            dimension_names,
            attributes: to_json(
                &self.path,
                &dataset.attributes,
                &dataset.broken_attributes,
                findings,
            ),
            chunks: stored.chunks,
            layout: layout(&dataset.storage),
        };
        self.move_fill_value(&mut array, findings);
        if array.data_type != DataType::VlenString {
            write_out_missing(&mut array, dataset, scene.buffer)?;
        }
        Ok(array)
    }

    /// The elements and their type: as they stand in the file, or inlined where Zarr has no form for that.
    async fn data(
        &self,
        shape: &[u64],
        scene: &Scene<'_>,
        findings: &mut Vec<Finding>,
    ) -> Result<(DataType, Stored), String> {
        let element = element(&self.dataset.datatype);
        match (element_type(element), Recast::of(element)) {
            (Ok(DataType::VlenString), _) => {
                let stored = self.strings(shape, scene, findings).await?;
                Ok((DataType::VlenString, stored))
            }
            (as_stored, Some(recast)) => {
                let (buffer, options) = (scene.buffer, scene.options);
                match recast.inlined(self.dataset, shape, buffer, options).await {
                    Ok(Some(stored)) => Ok((recast.data_type, stored)),
                    Ok(None) => self
                        .virtual_data(as_stored, shape, scene)
                        .await
                        .map_err(|why| {
                            let limit = options.inline_max_bytes;
                            format!(
                                "{why}, and only up to {limit} bytes are inlined in another form"
                            )
                        }),
                    Err(why) if as_stored.is_err() => Err(why),
                    Err(_) => self.virtual_data(as_stored, shape, scene).await,
                }
            }
            (as_stored, None) => self.virtual_data(as_stored, shape, scene).await,
        }
    }

    async fn virtual_data(
        &self,
        data_type: Result<DataType, String>,
        shape: &[u64],
        scene: &Scene<'_>,
    ) -> Result<(DataType, Stored), String> {
        let data_type = data_type?;
        self.has_the_size_of(&data_type)?;
        let extent = Extent {
            shape,
            element_size: data_type.size(),
        };
        let limit = scene.options.inline_max_bytes;
        let stored = stored_within(self.dataset, extent, scene.buffer, limit).await?;
        Ok((data_type, stored))
    }

    async fn strings(
        &self,
        shape: &[u64],
        scene: &Scene<'_>,
        findings: &mut Vec<Finding>,
    ) -> Result<Stored, String> {
        let (geometry, buffer, options) = (scene.geometry, scene.buffer, scene.options);
        let read = text::inlined(self.dataset, shape, geometry, buffer, options);
        let (stored, invalid) = read.await?;
        if invalid {
            let message = "some of its strings are not UTF-8";
            findings.push(Finding::info("text-not-utf8", Some(&self.path), message));
        }
        Ok(stored)
    }

    /// The names of its dimensions. netCDF shows an unlimited dimension's full length and fills up; Zarr holds what is
    /// stored, and since readers refuse two lengths of one dimension the shorter one has a name of its own.
    fn dimension_names(
        &self,
        shape: &[u64],
        findings: &mut Vec<Finding>,
    ) -> Result<Vec<String>, String> {
        if shape.len() != self.dimensions.len() {
            return Err(String::from("its dimensions cannot be told"));
        }
        let pairs = shape.iter().zip(self.dimensions);
        let names = pairs.map(|(length, dim)| match *length < dim.length {
            false => dim.name.clone(),
            true => {
                let (name, all) = (&dim.name, dim.length);
                let own = format!("{name}_first_{length}");
                let message = format!(
                    "it has {length} of the {all} steps of the unlimited dimension {name}, shown as dimension {own}"
                );
                let code = "shorter-than-dimension";
                findings.push(Finding::graded(
                    Grade::Warning,
                    code,
                    Some(&self.path),
                    message,
                ));
                own
            }
        });
        Ok(names.collect())
    }

    /// Whether an element in the file takes as many bytes as one in Zarr does.
    fn has_the_size_of(&self, data_type: &DataType) -> Result<(), String> {
        let size = u64::from(element(&self.dataset.datatype).size);
        match size == data_type.size() && size > 0 {
            true => Ok(()),
            false => Err(format!(
                "its elements have {size} bytes, not those of {}",
                data_type.name()
            )),
        }
    }

    fn tell_what_is_outside(&self, findings: &mut Vec<Finding>) {
        if let Storage::Chunked { outside, .. } = &self.dataset.storage
            && *outside > 0
        {
            let message = format!("{outside} stored chunks lie outside its extent");
            let finding = Finding::info("chunks-outside-extent", Some(&self.path), message);
            findings.push(finding);
        }
    }

    /// The attribute `_FillValue` becomes the array's fill value where it fits the type to the bit.
    fn move_fill_value(&self, array: &mut VirtualArray, findings: &mut Vec<Finding>) {
        let attributes = &self.dataset.attributes;
        let Some(attribute) = attribute(attributes, "_FillValue") else {
            array.fill_value = infinite_missing_value(attributes, &array.data_type);
            return;
        };
        array.fill_value = cf_fill_value(attribute, &array.data_type);
        let stays = matches!(array.attributes.get("_FillValue"), Some(Value::Number(_)));
        if array.fill_value.is_none() && stays {
            let message = "_FillValue has another type than the variable and stays an attribute";
            findings.push(Finding::info("fill-value-type", Some(&self.path), message));
            return;
        }
        let was_there = array.attributes.remove("_FillValue").is_some();
        if array.fill_value.is_none() && was_there {
            let why = "Zarr has no fill value of this type that readers agree on";
            findings.push(dropped(&self.path, "_FillValue", why));
        }
    }

    /// Whether the variable holds data: numbers along a dimension that are neither coordinate nor bounds.
    fn is_data(&self, bounds: &BTreeSet<String>) -> bool {
        let own = matches!(self.dimensions, [only] if only.name == self.name);
        let numeric = matches!(
            element(&self.dataset.datatype).class,
            DatatypeClass::Integer { .. }
                | DatatypeClass::Float { .. }
                | DatatypeClass::Enum { .. }
                | DatatypeClass::Complex(_)
        );
        let shape = full_shape(self.dataset);
        numeric && !own && !bounds.contains(&self.name) && !shape.is_empty() && !shape.contains(&0)
    }
}

/// Each variable repeats the names of its dimensions, which the file has once.
fn spend_names(names: &[String], buffer: &SourceBuffer) -> Result<(), String> {
    let bytes = names
        .iter()
        .map(|name| u64::try_from(name.len()).unwrap_or(u64::MAX));
    let spent = buffer.spend(Cost::Memory, bytes.fold(0, u64::saturating_add));
    spent.map_err(|error| error.to_string())
}

const fn layout(storage: &Storage) -> Layout {
    match storage {
        Storage::Compact { .. } => Layout::Compact,
        Storage::Chunked { .. } => Layout::Chunked,
        _ => Layout::Contiguous,
    }
}
