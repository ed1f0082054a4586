//! The messages of object headers. Specification IV.A.2.

pub(super) mod dataspace;
pub(super) mod datatype;
pub(super) mod fill;
pub(super) mod filter;
pub(super) mod layout;
pub(super) mod link;
pub(super) mod shared;

pub(super) const NIL: u16 = 0x00;
pub(super) const DATASPACE: u16 = 0x01;
pub(super) const LINK_INFO: u16 = 0x02;
pub(super) const DATATYPE: u16 = 0x03;
pub(super) const FILL_OLD: u16 = 0x04;
pub(super) const FILL: u16 = 0x05;
pub(super) const LINK: u16 = 0x06;
pub(super) const EXTERNAL_FILES: u16 = 0x07;
pub(super) const LAYOUT: u16 = 0x08;
pub(super) const GROUP_INFO: u16 = 0x0a;
pub(super) const FILTERS: u16 = 0x0b;
pub(super) const ATTRIBUTE: u16 = 0x0c;
pub(super) const SHARED_TABLE: u16 = 0x0f;
pub(super) const CONTINUATION: u16 = 0x10;
pub(super) const SYMBOL_TABLE: u16 = 0x11;
pub(super) const NODE_SIZES: u16 = 0x13;
pub(super) const DRIVER_INFO: u16 = 0x14;
pub(super) const ATTRIBUTE_INFO: u16 = 0x15;
const BOGUS: u16 = 0x09;
const LAST_KNOWN: u16 = 0x18;

/// Whether the specification defines a message type for files that people write.
pub(super) const fn is_known(kind: u16) -> bool {
    kind <= LAST_KNOWN && kind != BOGUS
}
