//! Stand-ins until the wire crate has them.
pub(crate) mod gso {
    pub(crate) fn cut(pkt: Box<netspace_base::Pkt>) -> Vec<Box<netspace_base::Pkt>> {
        vec![pkt]
    }
}
pub(crate) mod checksum {
    pub(crate) fn fill(_pkt: &mut netspace_base::Pkt) {}
}
