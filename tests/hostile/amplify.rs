//! Files of less than a megabyte that ask for much more than they are: each case is one way in which a small claim
//! could become a large cost.

use super::file::*;

/// A name of the case and its bytes.
pub(super) type Case = (&'static str, Vec<u8>);

/// Every case.
pub(super) fn cases() -> Vec<Case> {
    vec![
        ("one tree for a thousand datasets", one_tree()),
        ("implicit chunks over the whole file", implicit_chunks()),
        ("a chunk grid of 2^60", huge_grid()),
        ("paths that double at every level", doubling_paths()),
        ("groups in a ring", ring()),
        ("one long name for every link", one_long_name()),
        ("long names one below the other", long_path()),
        ("one long string for every element", one_long_string()),
        (
            "attributes with dimensions they do not have",
            claimed_attributes(),
        ),
        ("attributes of many small numbers", many_numbers()),
        ("attributes that are nothing", empty_attributes()),
        ("a chain of header blocks", chain_of_blocks()),
        ("header blocks inside each other", nested_blocks()),
        ("one large type for every dataset", one_large_type()),
        ("as many dimensions as there can be", many_dimensions()),
        ("arrays of arrays", arrays_of_arrays()),
        ("lengths without divisors", prime_lengths()),
        ("datasets as small as they can be", small_datasets()),
        ("a coordinate of nothing but fill values", endless_time()),
        ("coordinates that swell", swelling_coordinates()),
        ("many coordinates of fill values", many_coordinates()),
        ("chunks of another fill value", made_up_chunks()),
        ("symbol table entries of one node", one_symbol_node()),
        ("a classic header of 2^31 variables", classic_claims()),
        ("classic variables over the same bytes", classic_overlap()),
        ("classic records of one number", classic_records()),
        ("classic records of one byte", classic_byte_records()),
        ("classic records of two variables", classic_two_variables()),
        ("as many classic scalars as there can be", classic_scalars()),
        ("as many classic vectors as there can be", classic_vectors()),
        (
            "as many classic coordinates as there can be",
            classic_coordinates(),
        ),
        ("many classic variables of many records", classic_grid()),
        ("one long name for classic dimensions", classic_long_name()),
    ]
}

fn named(at: impl IntoIterator<Item = u64>) -> Vec<(String, u64)> {
    at.into_iter()
        .enumerate()
        .map(|(number, at)| (format!("v{number}"), at))
        .collect()
}

/// A file of one group that holds copies of an object with these messages.
fn copies(mut file: File, count: usize, messages: &[Message]) -> Vec<u8> {
    let objects: Vec<u64> = (0..count).map(|_| file.object(messages)).collect();
    let root = file.group(&named(objects));
    file.finish(root)
}

fn one_tree() -> Vec<u8> {
    let mut file = File::new();
    let mut first = 0u64;
    let leaves: Vec<u64> = (0..200)
        .map(|_| {
            let chunks: Vec<(u64, u64, u32)> = (0..64).map(|i| (first + i, 96, 1)).collect();
            first += 64;
            file.put(&chunk_leaf(&chunks))
        })
        .collect();
    let nodes: Vec<u64> = leaves
        .chunks(64)
        .map(|leaves| file.put(&chunk_node(1, leaves)))
        .collect();
    let root = file.put(&chunk_node(2, &nodes));
    copies(
        file,
        1000,
        &[dataspace(&[first]), bytes_type(), chunked(root, &[1])],
    )
}

fn implicit_chunks() -> Vec<u8> {
    let messages = [dataspace(&[200_000]), bytes_type(), implicit(0, &[1])];
    copies(File::new(), 4000, &messages)
}

fn huge_grid() -> Vec<u8> {
    let messages = [
        dataspace(&[1 << 30, 1 << 30]),
        bytes_type(),
        implicit(0, &[1, 1]),
    ];
    copies(File::new(), 2000, &messages)
}

fn doubling_paths() -> Vec<u8> {
    let mut file = File::new();
    let mut below = file.group(&[]);
    for _ in 0..60 {
        below = file.group(&[("a".to_owned(), below), ("b".to_owned(), below)]);
    }
    file.finish(below)
}

fn ring() -> Vec<u8> {
    let mut file = File::new();
    let links =
        |at: u64| -> Vec<(String, u64)> { (0..20).map(|i| (format!("g{i}"), at)).collect() };
    let size = 16 + 20 * 24;
    let first = file.end();
    let mut groups: Vec<u64> = (0..1000).map(|i| first + (i + 1) % 1000 * size).collect();
    for next in groups.drain(..) {
        file.group(&links(next));
    }
    file.finish(first)
}

fn one_long_name() -> Vec<u8> {
    let mut file = File::new();
    let name = file.put(&[b"n".repeat(400_000), vec![0; 8]].concat());
    let mut heap = b"HEAP\0\0\0\0".to_vec();
    for field in [400_008, u64::MAX, name] {
        heap.extend(field.to_le_bytes());
    }
    let heap = file.put(&heap);
    let leaf = file.group(&[]);
    let nodes: Vec<u64> = (0..32).map(|_| file.put(&symbols(&[leaf; 8]))).collect();
    old_group(file, heap, &nodes)
}

fn symbols(objects: &[u64]) -> Vec<u8> {
    let mut node = b"SNOD\x01\0".to_vec();
    node.extend((objects.len() as u16).to_le_bytes());
    for object in objects {
        node.extend(0u64.to_le_bytes());
        node.extend(object.to_le_bytes());
        node.extend([0; 24]);
    }
    node.resize(328, 0);
    node
}

fn old_group(mut file: File, heap: u64, nodes: &[u64]) -> Vec<u8> {
    let mut tree = b"TREE\x00\x00".to_vec();
    tree.extend((nodes.len() as u16).to_le_bytes());
    tree.extend([0xff; 16]);
    for node in nodes {
        tree.extend([0; 8]);
        tree.extend(node.to_le_bytes());
    }
    tree.resize(24 + 32 * 16 + 8, 0);
    let tree = file.put(&tree);
    let body = [tree.to_le_bytes(), heap.to_le_bytes()].concat();
    let root = file.object(&[(kind::SYMBOL_TABLE, 0, body)]);
    file.finish(root)
}

fn one_symbol_node() -> Vec<u8> {
    let mut file = File::new();
    let names = file.put(&[b"name".to_vec(), vec![0; 12]].concat());
    let mut heap = b"HEAP\0\0\0\0".to_vec();
    for field in [16, u64::MAX, names] {
        heap.extend(field.to_le_bytes());
    }
    let heap = file.put(&heap);
    let leaf = file.group(&[]);
    let node = file.put(&symbols(&[leaf; 8]));
    old_group(file, heap, &[node; 32])
}

fn long_path() -> Vec<u8> {
    let mut file = File::new();
    let scalar = [dataspace(&[]), bytes_type(), contiguous(UNDEFINED, 1)];
    let leaves: Vec<u64> = (0..3000).map(|_| file.object(&scalar)).collect();
    let mut below = file.group(&named(leaves));
    for level in 0..60 {
        below = file.group(&[(format!("{level}").repeat(5000), below)]);
    }
    file.finish(below)
}

/// A string of variable length.
const STRING: [u8; 20] = [
    0x19, 1, 0, 0, 16, 0, 0, 0, 0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0,
];

fn one_long_string() -> Vec<u8> {
    let mut file = File::new();
    let mut heap = b"GCOL\x01\0\0\0".to_vec();
    heap.extend(500_032u64.to_le_bytes());
    heap.extend([1, 0, 1, 0, 0, 0, 0, 0]);
    heap.extend(500_000u64.to_le_bytes());
    heap.extend(b"s".repeat(500_000));
    let heap = file.put(&heap);
    let mut element = 500_000u32.to_le_bytes().to_vec();
    element.extend(heap.to_le_bytes());
    element.extend(1u32.to_le_bytes());
    let space = dataspace(&[1000]).2;
    let messages: Vec<Message> = (0..10)
        .map(|i| attribute(&format!("a{i}"), &STRING, &space, &element.repeat(1000)))
        .collect();
    let root = file.object(&[vec![link("self", 0)], messages].concat());
    file.finish(root)
}

fn claimed_attributes() -> Vec<u8> {
    let datatype = bytes_type().2;
    let attributes: Vec<Message> = (0..16_000)
        .map(|i: u64| {
            let lengths = [1 << 40, if i.is_multiple_of(2) { 1 << 20 } else { 0 }];
            attribute("a", &datatype, &dataspace(&lengths).2, &[])
        })
        .collect();
    in_blocks(attributes)
}

/// A root group with these messages in as many blocks as they need.
fn in_blocks(messages: Vec<Message>) -> Vec<u8> {
    let mut file = File::new();
    let blocks: Vec<Message> = messages
        .chunks(2000)
        .map(|messages| {
            let block = block(messages);
            let at = file.put(&block);
            continuation(at, block.len() as u64)
        })
        .collect();
    let root = file.object(&[vec![link("self", 0)], blocks].concat());
    file.finish(root)
}

fn continuation(at: u64, length: u64) -> Message {
    let body = [at.to_le_bytes(), length.to_le_bytes()].concat();
    (kind::CONTINUATION, 0, body)
}

fn many_numbers() -> Vec<u8> {
    let datatype = bytes_type().2;
    let space = dataspace(&[60_000]).2;
    let data = vec![200; 60_000];
    let attributes = (0..16).map(|i| attribute(&format!("a{i}"), &datatype, &space, &data));
    in_blocks(attributes.collect())
}

fn empty_attributes() -> Vec<u8> {
    in_blocks(vec![(kind::ATTRIBUTE, 0, Vec::new()); 110_000])
}

fn chain_of_blocks() -> Vec<u8> {
    let mut file = File::new();
    let info = vec![0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let info = (kind::LINK_INFO, 0, [info, vec![0xff; 8]].concat());
    let mut next = file.put(&block(std::slice::from_ref(&info)));
    for _ in 0..4000 {
        next = file.put(&block(&[continuation(next, 24)]));
    }
    let many = block(&vec![info; 20_000]);
    let at = file.put(&many);
    let blocks = [
        continuation(at, many.len() as u64),
        continuation(next, 24),
        link("self", 0),
    ];
    let root = file.object(&blocks);
    file.finish(root)
}

fn nested_blocks() -> Vec<u8> {
    let mut file = File::new();
    let nothing = block(&vec![(kind::ATTRIBUTE, 0, Vec::new()); 100_000]);
    let at = file.put(&nothing);
    let length = nothing.len() as u64;
    let blocks: Vec<Message> = (0..1000)
        .map(|i| continuation(at + 8 * i, length - 8 * i))
        .collect();
    let root = file.object(&[vec![link("self", 0)], blocks].concat());
    file.finish(root)
}

/// A compound of so many bytes.
fn compound(members: u32) -> Vec<u8> {
    let mut body = vec![0x36];
    body.extend((members as u16).to_le_bytes());
    body.push(0);
    body.extend(members.to_le_bytes());
    for offset in 0..members {
        body.extend(b"m\0");
        let width = if members < 256 { 1 } else { 2 };
        body.extend(&offset.to_le_bytes()[..width]);
        body.extend(bytes_type().2);
    }
    body
}

fn one_large_type() -> Vec<u8> {
    let mut file = File::new();
    let named = file.object(&[(kind::DATATYPE, 0, compound(3500))]);
    let shared = [vec![3, 2], named.to_le_bytes().to_vec()].concat();
    let messages = [
        dataspace(&[]),
        (kind::DATATYPE, 2, shared),
        contiguous(96, 3500),
    ];
    copies(file, 7000, &messages)
}

fn many_dimensions() -> Vec<u8> {
    let mut file = File::new();
    let objects: Vec<u64> = (0..2000u64)
        .map(|number| {
            let lengths: Vec<u64> = (0..32).map(|axis| 1 + number * 32 + axis).collect();
            file.object(&[
                dataspace(&lengths),
                bytes_type(),
                chunked(UNDEFINED, &[1; 32]),
            ])
        })
        .collect();
    let root = file.group(&named(objects));
    file.finish(root)
}

fn arrays_of_arrays() -> Vec<u8> {
    let mut datatype = bytes_type().2;
    for _ in 0..30 {
        let mut outer = vec![0x3a, 0, 0, 0, 1, 0, 0, 0, 32];
        outer.extend(1u32.to_le_bytes().repeat(32));
        outer.extend(datatype);
        datatype = outer;
    }
    let mut file = File::new();
    let named = file.object(&[(kind::DATATYPE, 0, datatype)]);
    let shared = [vec![3, 2], named.to_le_bytes().to_vec()].concat();
    let messages = [
        dataspace(&[]),
        (kind::DATATYPE, 2, shared),
        contiguous(96, 1),
    ];
    copies(file, 7000, &messages)
}

fn prime_lengths() -> Vec<u8> {
    let messages = [
        dataspace(&[(1 << 61) - 1]),
        bytes_type(),
        contiguous(UNDEFINED, u64::MAX),
    ];
    copies(File::new(), 5000, &messages)
}

fn small_datasets() -> Vec<u8> {
    let mut file = File::new();
    let shared = block(&[dataspace(&[]), bytes_type(), contiguous(96, 1)]);
    let at = file.put(&shared);
    copies(file, 13_000, &[continuation(at, shared.len() as u64)])
}

fn endless_time() -> Vec<u8> {
    let mut file = File::new();
    let scale = attribute(
        "CLASS",
        &[0x13, 0, 0, 0, 16, 0, 0, 0],
        &dataspace(&[]).2,
        b"DIMENSION_SCALE\0",
    );
    let time = file.object(&[
        dataspace(&[200 << 20]),
        bytes_type(),
        chunked(UNDEFINED, &[1 << 20]),
        scale,
    ]);
    let root = file.group(&[("time".to_owned(), time)]);
    file.finish(root)
}

/// A stream that inflates to this many zero bytes.
fn zeros(length: usize) -> Vec<u8> {
    let zlib = virtualize::zarr::Codec::Zlib { level: 9 };
    virtualize::zarr::encode_chunk(&vec![0; length], &[zlib]).unwrap()
}

fn swelling_coordinates() -> Vec<u8> {
    let mut file = File::new();
    let stream = zeros(16 << 20);
    let at = file.put(&stream);
    let mut objects = Vec::new();
    for number in 0..200u64 {
        let chunks: Vec<(u64, u64, u32)> = (0..64)
            .map(|i| (i * (16 << 20), at, stream.len() as u32))
            .collect();
        let tree = file.put(&chunk_leaf(&chunks));
        let length = (1 << 20) - number;
        let scale = attribute(
            "CLASS",
            &[0x13, 0, 0, 0, 16, 0, 0, 0],
            &dataspace(&[]).2,
            b"DIMENSION_SCALE\0",
        );
        objects.push(file.object(&[
            dataspace(&[length]),
            bytes_type(),
            chunked(tree, &[16 << 20]),
            deflate(),
            scale,
        ]));
    }
    let root = file.group(&named(objects));
    file.finish(root)
}

fn many_coordinates() -> Vec<u8> {
    let mut file = File::new();
    let objects: Vec<u64> = (0..3000)
        .map(|number| {
            let scale = attribute(
                "CLASS",
                &[0x13, 0, 0, 0, 16, 0, 0, 0],
                &dataspace(&[]).2,
                b"DIMENSION_SCALE\0",
            );
            let layout = chunked(UNDEFINED, &[1 << 16]);
            file.object(&[
                dataspace(&[(1 << 20) - number]),
                bytes_type(),
                layout,
                scale,
            ])
        })
        .collect();
    let root = file.group(&named(objects));
    file.finish(root)
}

fn made_up_chunks() -> Vec<u8> {
    let fill = (0x05, 0, vec![2, 2, 2, 1, 1, 0, 0, 0, 7]);
    let messages = [
        dataspace(&[10_000 * 1500]),
        bytes_type(),
        fill,
        chunked(UNDEFINED, &[1500]),
    ];
    copies(File::new(), 4000, &messages)
}

fn classic_claims() -> Vec<u8> {
    let mut bytes = b"CDF\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend(b"\0\0\0\x0b\x7f\xff\xff\xff");
    bytes.extend(b"\0\0\0\x01v\0\0\0".repeat(100_000));
    bytes
}

/// The type of bytes, and that of doubles.
const BYTE: u32 = 1;
const DOUBLE: u32 = 6;

/// A variable of a classic file: name, number of its one dimension, type, where.
type Variable = (String, Option<u32>, u32, u32);

/// A megabyte of a classic file with this many records, these dimensions and these variables.
fn classic(records: u32, dimensions: &[(&str, u32)], variables: &[Variable]) -> Vec<u8> {
    let mut bytes = b"CDF\x01".to_vec();
    let number = |bytes: &mut Vec<u8>, number: usize| bytes.extend((number as u32).to_be_bytes());
    let name = |bytes: &mut Vec<u8>, name: &str| {
        bytes.extend((name.len() as u32).to_be_bytes());
        bytes.extend(name.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    };
    number(&mut bytes, records as usize);
    bytes.extend(0x0a_u32.to_be_bytes());
    number(&mut bytes, dimensions.len());
    for (called, length) in dimensions {
        name(&mut bytes, called);
        bytes.extend(length.to_be_bytes());
    }
    bytes.extend([0; 8]);
    bytes.extend(0x0b_u32.to_be_bytes());
    number(&mut bytes, variables.len());
    for (called, dimension, nc_type, begin) in variables {
        name(&mut bytes, called);
        bytes.extend(u32::from(dimension.is_some()).to_be_bytes());
        bytes.extend(dimension.iter().flat_map(|id| id.to_be_bytes()));
        bytes.extend([0; 8]);
        bytes.extend(nc_type.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(begin.to_be_bytes());
    }
    assert!(bytes.len() < 1 << 20, "{}", bytes.len());
    bytes.resize(1 << 20, 1);
    bytes
}

/// A name of four letters, which need no padding.
fn short_name(number: usize) -> String {
    let letters = b"abcdefghijklmnopqrstuvwxyz";
    let letter = |place: u32| char::from(letters[number / 26usize.pow(place) % 26]);
    (0..4).map(letter).collect()
}

fn classic_byte_records() -> Vec<u8> {
    let variable = ("v".to_owned(), Some(0), BYTE, 200);
    classic((1 << 20) - 200, &[("t", 0)], &[variable])
}

fn classic_two_variables() -> Vec<u8> {
    let variables = [200, 204].map(|begin| (format!("v{begin}"), Some(0), BYTE, begin));
    classic(((1 << 20) - 208) / 8, &[("t", 0)], &variables)
}

fn many(count: usize, dimension: impl Fn(usize) -> Option<u32>) -> Vec<Variable> {
    (0..count)
        .map(|number| (short_name(number), dimension(number), BYTE, (1 << 20) - 8))
        .collect()
}

fn classic_scalars() -> Vec<u8> {
    classic(0, &[("t", 0)], &many(32_000, |_| None))
}

fn classic_vectors() -> Vec<u8> {
    classic(0, &[("x", 4)], &many(28_900, |_| Some(0)))
}

fn classic_coordinates() -> Vec<u8> {
    let names: Vec<String> = (0..20_000).map(short_name).collect();
    let dimensions: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 4)).collect();
    classic(0, &dimensions, &many(20_000, |number| Some(number as u32)))
}

/// Records of 16 000 variables that hold four bytes each, eight times.
fn classic_grid() -> Vec<u8> {
    let variables = many(16_000, |_| Some(0));
    let variables: Vec<Variable> = variables
        .into_iter()
        .map(|(name, dimension, nc_type, _)| (name, dimension, nc_type, 580_000))
        .collect();
    classic(8, &[("t", 0)], &variables)
}

/// Variables that all repeat one name.
fn classic_long_name() -> Vec<u8> {
    classic(
        0,
        &[("n".repeat(500_000).as_str(), 4)],
        &many(10_000, |_| Some(0)),
    )
}

fn classic_overlap() -> Vec<u8> {
    let variables: Vec<Variable> = (0..12_000)
        .map(|number| (format!("v{number}"), None, DOUBLE, 900_000))
        .collect();
    classic(0, &[("t", 0)], &variables)
}

fn classic_records() -> Vec<u8> {
    let variable = ("v".to_owned(), Some(0), DOUBLE, 200);
    classic(((1 << 20) - 200) / 8, &[("t", 0)], &[variable])
}
