//! What bytes may come.

/// Most nodes of a grammar.
const MAX_NODES: usize = 200_000;

/// A node of a grammar, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(pub(super) u32);

/// A set of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes([u64; 4]);

impl Bytes {
    pub(super) fn of(ranges: &[(u8, u8)]) -> Self {
        let mut set = [0; 4];
        for byte in ranges.iter().flat_map(|(first, last)| *first..=*last) {
            set[usize::from(byte / 64)] |= 1 << (byte % 64);
        }
        Self(set)
    }

    pub(super) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte / 64)] >> (byte % 64) & 1 == 1
    }
}

/// What may come in one place.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// These bytes.
    Text(Vec<u8>),
    /// One byte of a set.
    One(Bytes),
    /// These, one after another.
    Sequence(Vec<NodeId>),
    /// One of these; nothing can be one of none.
    Either(Vec<NodeId>),
    /// The same, from `least` to `most` times.
    Repeated { item: NodeId, least: u32, most: Option<u32> },
}

impl Node {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }
}

/// The nodes of a grammar.
#[derive(Clone, Debug, Default)]
pub(super) struct Nodes(Vec<Node>);

impl Nodes {
    pub(super) fn add(&mut self, node: Node) -> Result<NodeId, String> {
        if self.0.len() >= MAX_NODES {
            return Err(format!("it is too large: more than {MAX_NODES} parts"));
        }
        self.0.push(node);
        Ok(NodeId(self.0.len() as u32 - 1))
    }

    pub(super) fn text(&mut self, text: &str) -> Result<NodeId, String> {
        self.add(Node::text(text))
    }

    pub(super) fn one(&mut self, ranges: &[(u8, u8)]) -> Result<NodeId, String> {
        self.add(Node::One(Bytes::of(ranges)))
    }

    pub(super) fn sequence(&mut self, nodes: Vec<NodeId>) -> Result<NodeId, String> {
        self.add(Node::Sequence(nodes))
    }

    pub(super) fn either(&mut self, nodes: Vec<NodeId>) -> Result<NodeId, String> {
        self.add(Node::Either(nodes))
    }

    pub(super) fn repeated(&mut self, item: NodeId, least: u32, most: Option<u32>) -> Result<NodeId, String> {
        self.add(Node::Repeated { item, least, most })
    }

    pub(super) fn get(&self, id: NodeId) -> &Node {
        &self.0[id.0 as usize]
    }

    pub(super) fn set(&mut self, id: NodeId, node: Node) {
        self.0[id.0 as usize] = node;
    }

    /// Takes out what can never be finished, such as a list that must hold itself; `false` if that is all of it.
    pub(super) fn prune(&mut self, root: NodeId) -> bool {
        let mut is_finite = vec![false; self.0.len()];
        // Nodes mostly come after their parts, so that few rounds are needed.
        loop {
            let mut has_changed = false;
            for (i, node) in self.0.iter().enumerate() {
                let finite = |id: &NodeId| is_finite[id.0 as usize];
                let is_now = match node {
                    Node::Text(_) | Node::One(_) => true,
                    Node::Sequence(all) => all.iter().all(finite),
                    Node::Either(all) => all.iter().any(finite),
                    Node::Repeated { item, least, most } => {
                        most.is_none_or(|most| *least <= most) && (*least == 0 || finite(item))
                    }
                };
                if is_now && !is_finite[i] {
                    is_finite[i] = true;
                    has_changed = true;
                }
            }
            if !has_changed {
                break;
            }
        }
        for node in &mut self.0 {
            match node {
                Node::Either(all) => all.retain(|id| is_finite[id.0 as usize]),
                Node::Repeated { item, most, .. } if !is_finite[item.0 as usize] => *most = Some(0),
                _ => {}
            }
        }
        is_finite[root.0 as usize]
    }
}
