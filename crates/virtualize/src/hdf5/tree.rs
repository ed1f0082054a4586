//! Walks the object tree: every object whose address is known is read while the others are.
//!
//! Objects are read once, in whatever order their bytes come; only then are they put into a tree, depth first and by
//! name, so that the name under which an object is listed does not depend on the order of reading.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::poll_immediate;
use futures_util::stream::FuturesUnordered;

use super::attribute::{self, Attributes};
use super::context::Context;
use super::message::link::{StoredLink, Target};
use super::model::{Group, Link, Node};
use super::object_header::ObjectHeader;
use super::{dataset, group, message};
use crate::decode::DecodeError;

/// The deepest nesting of groups that is followed.
const MAX_DEPTH: u32 = 128;

/// The longest name of a link, and the longest path, in bytes. HDF5 sets no limit; real names are far shorter.
const MAX_NAME: usize = 8192;
const MAX_PATH: usize = 4 * MAX_NAME;

/// Bytes of memory that an object and a link take here and in what becomes of them.
const OBJECT_COST: usize = 2048;
const LINK_COST: usize = 128;

/// Reads the tree below the group whose header stands at `root`.
pub(super) async fn read(
    context: &Context<'_>,
    root: u64,
    max_objects: u64,
) -> Result<Group, DecodeError> {
    let mut walk = Walk {
        context,
        fresh: VecDeque::new(),
        waiting: FuturesUnordered::new(),
        depths: HashMap::new(),
        found: BTreeMap::new(),
        max_objects,
    };
    walk.enter(root, 0)?;
    loop {
        while let Some(mut step) = walk.fresh.pop_front() {
            match poll_immediate(&mut step).await {
                Some((address, step)) => walk.take(address, step)?,
                None => walk.waiting.push(step),
            }
            context.check_work()?;
        }
        let Some((address, step)) = walk.waiting.next().await else {
            break;
        };
        walk.take(address, step)?;
    }
    let mut tree = Tree {
        context,
        found: walk.found,
        paths: HashMap::new(),
        too_deep: HashSet::new(),
    };
    tree.root(root)
}

/// One part of an object that was read.
enum Step {
    Header(Result<ObjectHeader, DecodeError>),
    Links(Result<Vec<StoredLink>, DecodeError>),
    Attributes(Attributes),
    Leaf(Result<Node, DecodeError>),
}

type Running<'c> = Pin<Box<dyn Future<Output = (u64, Step)> + Send + 'c>>;

struct Walk<'c, 'a> {
    context: &'c Context<'a>,
    /// Steps that have not begun: parts of objects before further objects, since they take more memory.
    fresh: VecDeque<Running<'c>>,
    /// Steps that wait for bytes.
    waiting: FuturesUnordered<Running<'c>>,
    depths: HashMap<u64, u32>,
    found: BTreeMap<u64, Found>,
    max_objects: u64,
}

/// What is known of an object.
#[derive(Default)]
struct Found {
    links: Vec<StoredLink>,
    attributes: Attributes,
    leaf: Option<Node>,
    error: Option<DecodeError>,
}

impl<'c> Walk<'c, '_> {
    /// Starts to read an object unless that was done before.
    fn enter(&mut self, address: u64, depth: u32) -> Result<(), DecodeError> {
        if depth > MAX_DEPTH || self.depths.contains_key(&address) {
            return Ok(());
        }
        self.depths.insert(address, depth);
        self.context.spend(OBJECT_COST)?;
        if super::cursor::len_u64(self.depths.len()) > self.max_objects {
            return Err(DecodeError::Budget {
                what: "number of objects",
                limit: self.max_objects,
            });
        }
        self.found.insert(address, Found::default());
        let context = self.context;
        self.fresh.push_back(Box::pin(async move {
            let header = ObjectHeader::read(context, address).await;
            (address, Step::Header(header))
        }));
        Ok(())
    }

    fn start(&mut self, address: u64, step: impl Future<Output = Step> + Send + 'c) {
        let step = Box::pin(async move { (address, step.await) });
        self.fresh.push_front(step);
    }

    fn take(&mut self, address: u64, step: Step) -> Result<(), DecodeError> {
        let found = self.found.entry(address).or_default();
        match step {
            Step::Header(Ok(header)) => self.open(address, Arc::new(header)),
            Step::Links(Ok(links)) => {
                let depth = self.depths.get(&address).copied().unwrap_or_default();
                for link in &links {
                    if let Target::Hard(child) = link.target {
                        self.enter(child, depth + 1)?;
                    }
                }
                self.found.entry(address).or_default().links = links;
            }
            Step::Attributes(attributes) => found.attributes = attributes,
            Step::Leaf(Ok(leaf)) => found.leaf = Some(leaf),
            Step::Header(Err(error)) | Step::Links(Err(error)) | Step::Leaf(Err(error)) => {
                found.error = Some(error);
            }
        }
        Ok(())
    }

    /// Starts to read what an object header leads to, each part on its own.
    fn open(&mut self, address: u64, header: Arc<ObjectHeader>) {
        let context = self.context;
        let for_attributes = Arc::clone(&header);
        if dataset::is_dataset(&header) {
            self.start(address, async move {
                let dataset = dataset::read(context, &header).await;
                Step::Leaf(dataset.map(|dataset| Node::Dataset(Box::new(dataset))))
            });
        } else if group::is_group(&header) {
            self.start(address, async move {
                Step::Links(group::links(context, &header).await)
            });
        } else if header.message(message::DATATYPE).is_some() {
            self.start(address, async move {
                let datatype = dataset::datatype_of(context, &header).await;
                Step::Leaf(datatype.map(|mut datatype| {
                    datatype.committed = true;
                    Node::NamedType(Box::new(datatype))
                }))
            });
            return;
        } else {
            self.start(address, async move {
                Step::Leaf(Err(DecodeError::Malformed {
                    what: "object header",
                    at: header.at,
                    problem: String::from("is that of no group, dataset or datatype"),
                }))
            });
            return;
        }
        self.start(address, async move {
            Step::Attributes(attribute::read(context, &for_attributes).await)
        });
    }
}

/// The tree as it is put together.
struct Tree<'c, 'a> {
    context: &'c Context<'a>,
    found: BTreeMap<u64, Found>,
    /// Paths of the objects listed so far.
    paths: HashMap<u64, String>,
    too_deep: HashSet<u64>,
}

impl Tree<'_, '_> {
    fn root(&mut self, address: u64) -> Result<Group, DecodeError> {
        self.paths.insert(address, String::from("/"));
        let mut found = self.found.remove(&address).unwrap_or_default();
        if let Some(error) = found.error.take() {
            return Err(error);
        }
        if found.leaf.is_some() {
            return Err(DecodeError::Malformed {
                what: "superblock",
                at: address,
                problem: String::from("the root object is no group"),
            });
        }
        self.group(address, found, "", 0)
    }

    fn group(
        &mut self,
        address: u64,
        found: Found,
        path: &str,
        depth: u32,
    ) -> Result<Group, DecodeError> {
        let links = found.links.into_iter();
        Ok(Group {
            address,
            attributes: found.attributes.read,
            broken_attributes: found.attributes.broken,
            links: links
                .map(|link| self.link(link, path, depth + 1))
                .collect::<Result<_, _>>()?,
        })
    }

    fn link(&mut self, link: StoredLink, path: &str, depth: u32) -> Result<Link, DecodeError> {
        let len = link.name.len();
        let path_len = path.len().saturating_add(1).saturating_add(len);
        self.context.spend(path_len.saturating_add(LINK_COST))?;
        let mut name = link.name;
        let target = if len > MAX_NAME {
            name.truncate(name.floor_char_boundary(MAX_NAME));
            Node::Broken(format!("its name has {len} bytes, more than {MAX_NAME}"))
        } else if path_len > MAX_PATH {
            Node::Broken(format!(
                "its path has {path_len} bytes, more than {MAX_PATH}"
            ))
        } else {
            self.node(link.target, path, &name, depth)?
        };
        Ok(Link {
            target,
            name,
            creation_order: link.creation_order,
        })
    }

    fn node(
        &mut self,
        target: Target,
        parent: &str,
        name: &str,
        depth: u32,
    ) -> Result<Node, DecodeError> {
        let address = match target {
            Target::Hard(address) => address,
            Target::Soft(path) => return Ok(Node::Soft(path)),
            Target::External { file, path } => return Ok(Node::External { file, path }),
            Target::Broken(reason) => return Ok(Node::Broken(reason)),
        };
        if let Some(path) = self.paths.get(&address) {
            self.context.spend(path.len())?;
            let path = path.clone();
            return Ok(Node::HardLink { address, path });
        }
        if depth > MAX_DEPTH {
            self.too_deep.insert(address);
        }
        match self.found.remove(&address) {
            Some(found) if !self.too_deep.contains(&address) => {
                let path = format!("{parent}/{name}");
                self.paths.insert(address, path.clone());
                self.object(address, found, &path, depth)
            }
            _ => Ok(Node::Broken(format!(
                "groups nested deeper than {MAX_DEPTH}"
            ))),
        }
    }

    fn object(
        &mut self,
        address: u64,
        mut found: Found,
        path: &str,
        depth: u32,
    ) -> Result<Node, DecodeError> {
        if let Some(error) = found.error {
            return Ok(Node::Broken(error.to_string()));
        }
        Ok(match found.leaf.take() {
            Some(Node::Dataset(mut dataset)) => {
                dataset.attributes = found.attributes.read;
                dataset.broken_attributes = found.attributes.broken;
                Node::Dataset(dataset)
            }
            Some(leaf) => leaf,
            None => Node::Group(Box::new(self.group(address, found, path, depth)?)),
        })
    }
}
