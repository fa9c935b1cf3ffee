//! What the forward pass reads.

use std::sync::Arc;

use tensor::{PAGE_LEN, PagedSegment, PagedSegments, Segment, Tensor};

/// Token ids with their places.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub(crate) ids: Vec<u32>,
    /// Position of each token in its own sequence.
    pub(crate) positions: Arc<[u32]>,
    pub(crate) places: Places,
    pub(crate) images: Option<Images>,
}

/// Where the keys and values of a sequence lie.
#[derive(Clone, Debug)]
pub(crate) enum Places {
    /// Among the rows of the pass itself.
    Rows(Arc<[Segment]>),
    /// In pages of a cache, which hold what stands before.
    Pages(PagedSegments),
}

/// Images among the tokens.
#[derive(Clone, Debug)]
pub(crate) struct Images {
    /// Rows that they take, ascending.
    pub(crate) at: Arc<[u32]>,
    pub(crate) pixels: Pixels,
}

/// What is known of images.
#[derive(Clone, Debug)]
pub(crate) enum Pixels {
    /// Their patches, `[N, 3·S·S]`.
    Patches(Tensor),
    /// Their rows in the sequence, `[N, C]`.
    Features(Tensor),
}

/// New tokens of a sequence.
#[derive(Clone, Debug)]
pub struct Piece<'a> {
    /// The new ids.
    pub ids: &'a [u32],
    /// Position of the first of them: as many tokens stand before.
    pub start: usize,
    /// Pages that hold what stands before and have room for the new ones, [`PAGE_LEN`] positions each.
    pub pages: &'a [usize],
}

impl Tokens {
    /// Sequences one after another; `lens` are their lengths. None sees another.
    ///
    /// # Panics
    /// If a sequence is empty, or the lengths do not sum to the number of ids.
    #[track_caller]
    pub fn packed(ids: Vec<u32>, lens: impl IntoIterator<Item = usize>) -> Self {
        let mut positions = Vec::with_capacity(ids.len());
        let mut segments = Vec::new();
        for len in lens {
            assert!(len > 0, "sequence {} is empty", segments.len());
            segments.push(Segment::whole(positions.len(), len));
            positions.extend(0..len as u32);
        }
        assert!(positions.len() == ids.len(), "sequences of {} tokens, {} ids", positions.len(), ids.len());
        Self { ids, positions: positions.into(), places: Places::Rows(segments.into()), images: None }
    }

    /// New tokens of sequences whose keys and values lie in pages of a [`crate::KvCache`].
    ///
    /// # Panics
    /// If a piece is empty, has too few pages, or writes to a page of another.
    #[track_caller]
    pub fn continued<'a>(pieces: impl IntoIterator<Item = Piece<'a>>) -> Self {
        let (mut ids, mut positions, mut segments) = (Vec::new(), Vec::new(), Vec::new());
        for Piece { ids: new, start, pages } in pieces {
            let n_keys = start + new.len();
            let pages = pages[..n_keys.div_ceil(PAGE_LEN)].to_vec();
            segments.push(PagedSegment { q_start: ids.len(), n_queries: new.len(), n_keys, pages });
            ids.extend_from_slice(new);
            positions.extend((start..n_keys).map(|p| p as u32));
        }
        Self {
            ids,
            positions: positions.into(),
            places: Places::Pages(PagedSegments::new(segments)),
            images: None,
        }
    }

    /// The same tokens with images: `patches [n·P, 3·S·S]` are theirs, in the order of their placeholders, which are the
    /// tokens `image_token`.
    ///
    /// # Panics
    /// If there are not as many placeholders as patches.
    #[track_caller]
    pub fn with_images(mut self, patches: Tensor, image_token: u32) -> Self {
        let is_place = |(row, id): (usize, &u32)| (*id == image_token).then_some(row as u32);
        let at: Vec<u32> = self.ids.iter().enumerate().filter_map(is_place).collect();
        assert!(at.len() == patches.shape()[0], "{} placeholders, {:?} patches", at.len(), patches.shape());
        self.images = (!at.is_empty()).then(|| Images { at: at.into(), pixels: Pixels::Patches(patches) });
        self
    }

    /// The same tokens with rows of images at `at`, ascending: `features [N, C]` as [`crate::Gpt::see`] makes them.
    pub(crate) fn with_features(mut self, features: Tensor, at: Vec<u32>) -> Self {
        self.images = (!at.is_empty()).then(|| Images { at: at.into(), pixels: Pixels::Features(features) });
        self
    }

    /// The ids, one sequence after another.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Number of tokens: R of the forward pass.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Row of the last token of each sequence.
    pub fn last_rows(&self) -> Vec<usize> {
        match &self.places {
            Places::Rows(segments) => segments.iter().map(|s| s.q_start + s.n_queries - 1).collect(),
            Places::Pages(segments) => segments.iter().map(|s| s.q_start + s.n_queries - 1).collect(),
        }
    }
}
