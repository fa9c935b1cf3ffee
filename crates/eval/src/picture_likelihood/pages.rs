//! Pages of picture books behind their own illustrations and behind others.

use data::Tokenizer;
use model::Gpt;
use serde::{Deserialize, Serialize};
use tensor::Kernels;

use super::{PictureText, nats};
use crate::{EvalError, interval, pictures::Asked};

/// Pictures of other pages that a page's text is read with; the mean of them counts.
pub const N_OTHER_PICTURES: usize = 4;

/// A page of a picture book.
#[derive(Clone, Debug)]
pub struct Page {
    /// The book.
    pub story: String,
    /// Its illustration.
    pub picture: Asked,
    /// Its text.
    pub text: String,
}

/// How unlikely a page's text is, in nats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageLoss {
    /// Number of the page among those that were asked about, from 0.
    pub doc_id: usize,
    /// The book.
    pub story: String,
    /// Tokens of the text, and its end.
    pub n_tokens: usize,
    /// Behind its own illustration.
    pub own_nats: f64,
    /// Behind none.
    pub nothing_nats: f64,
    /// Behind illustrations of other books: the mean of [`N_OTHER_PICTURES`]. None where no other book has another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub another_nats: Option<f64>,
}

/// Reads every page's text behind its own illustration, behind none, and behind those of other books. Pages that are too long
/// for the model are left out.
///
/// # Errors
/// If the model reads no images, or `goes_on`, which is asked again and again, says no.
pub fn read_pages(
    gpt: &Gpt,
    kernels: &dyn Kernels,
    tokenizer: &Tokenizer,
    pages: &[Page],
    batch: usize,
    goes_on: &dyn Fn() -> bool,
) -> Result<Vec<PageLoss>, EvalError> {
    let others: Vec<Vec<usize>> = (0..pages.len()).map(|i| other_books(pages, i)).collect();
    let mut texts = Vec::new();
    for (page, others) in pages.iter().zip(&others) {
        let before = [vec![&page.picture], Vec::new()].into_iter();
        let before = before.chain(others.iter().map(|other| vec![&pages[*other].picture]));
        texts.extend(before.map(|before| PictureText { before, text: &page.text }));
    }
    let nats = nats(gpt, kernels, tokenizer, &texts, batch, goes_on)?;
    let (mut losses, mut rest) = (Vec::new(), &nats[..]);
    for (doc_id, (page, others)) in pages.iter().zip(&others).enumerate() {
        let (own, behind) = rest.split_at(2 + others.len());
        rest = behind;
        let Some(nats) = own.iter().copied().collect::<Option<Vec<(f64, usize)>>>() else { continue };
        let sum: f64 = nats[2..].iter().map(|(nats, _)| nats).sum();
        losses.push(PageLoss {
            doc_id,
            story: page.story.clone(),
            n_tokens: nats[0].1,
            own_nats: nats[0].0,
            nothing_nats: nats[1].0,
            another_nats: (!others.is_empty()).then(|| sum / others.len() as f64),
        });
    }
    Ok(losses)
}

/// Pages of other books with other illustrations, spread over all of them; none where there is no such book.
fn other_books(pages: &[Page], i: usize) -> Vec<usize> {
    let n = pages.len();
    let is_other = |other: &usize| {
        pages[*other].story != pages[i].story && !is_same_picture(&pages[*other].picture, &pages[i].picture)
    };
    let other = |k: usize| {
        let start = i + (k + 1) * n / (N_OTHER_PICTURES + 1);
        (0..n).map(|step| (start + step) % n).find(is_other)
    };
    (0..N_OTHER_PICTURES).filter_map(other).collect()
}

fn is_same_picture(one: &Asked, other: &Asked) -> bool {
    matches!((one, other), (Asked::Picture(one), Asked::Picture(other)) if one.hash() == other.hash())
}

/// What illustrations tell of the texts beside them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageSummary {
    /// Pages that were read.
    pub n: usize,
    /// Pages that were too long.
    pub n_left_out: usize,
    /// Books.
    pub n_stories: usize,
    /// Nats per token behind the page's own illustration.
    pub own_nats_per_token: f64,
    /// Behind none.
    pub nothing_nats_per_token: f64,
    /// Behind illustrations of other books; none where no other book has another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub another_nats_per_token: Option<f64>,
    /// How much more unlikely a page's text is behind another illustration than behind its own: the mean over pages, in nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference_nats: Option<f64>,
    /// Its standard error, for which the pages of a book count together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference_stderr: Option<f64>,
    /// Lower end of its 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lo95: Option<f64>,
    /// Upper end of its 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hi95: Option<f64>,
}

/// The means of pages, of which `n_left_out` more were too long; none of no page.
pub fn summarise_pages(pages: &[PageLoss], n_left_out: usize) -> Option<PageSummary> {
    let n_tokens: usize = pages.iter().map(|page| page.n_tokens).sum();
    if n_tokens == 0 {
        return None;
    }
    let per_token = |of: fn(&PageLoss) -> f64| pages.iter().map(of).sum::<f64>() / n_tokens as f64;
    let compared = pages.iter().filter_map(|page| Some((page, page.another_nats?)));
    let compared: Vec<(&PageLoss, f64)> = compared.collect();
    let differences: Vec<f64> = compared.iter().map(|(page, another)| another - page.own_nats).collect();
    let stories: Vec<&str> = compared.iter().map(|(page, _)| page.story.as_str()).collect();
    let difference = (!compared.is_empty()).then(|| interval::clustered_mean(&differences, &stories));
    let n_compared: usize = compared.iter().map(|(page, _)| page.n_tokens).sum();
    let another: f64 = compared.iter().map(|(_, another)| another).sum();
    let mut books: Vec<&str> = pages.iter().map(|page| page.story.as_str()).collect();
    books.sort_unstable();
    books.dedup();
    Some(PageSummary {
        n: pages.len(),
        n_left_out,
        n_stories: books.len(),
        own_nats_per_token: per_token(|page| page.own_nats),
        nothing_nats_per_token: per_token(|page| page.nothing_nats),
        another_nats_per_token: difference.map(|_| another / n_compared as f64),
        difference_nats: difference.map(|found| found.value),
        difference_stderr: difference.and_then(|found| found.stderr),
        lo95: difference.and_then(|found| found.lo95).filter(|x| x.is_finite()),
        hi95: difference.and_then(|found| found.hi95).filter(|x| x.is_finite()),
    })
}

#[cfg(test)]
mod tests {
    use tensor::Cpu;

    use super::{
        super::tests::{model, picture},
        *,
    };

    #[test]
    fn pages_are_compared_with_those_of_other_books() {
        let tokenizer = Tokenizer::bytes();
        let gpt = model(&tokenizer);
        let page = |i: usize| Page {
            story: format!("{}", i / 3),
            picture: picture(i as f32 + 1.0),
            text: if i == 4 { "x".repeat(100) } else { format!("page {i}") },
        };
        let pages: Vec<Page> = (0..9).map(page).collect();
        for i in 0..9 {
            assert!(other_books(&pages, i).iter().all(|other| pages[*other].story != pages[i].story));
        }
        assert!(other_books(&pages[..3], 1).is_empty(), "there is no other book");
        let copies: Vec<Page> = (0..9).map(|i| Page { picture: picture(1.0), ..page(i) }).collect();
        assert!(other_books(&copies, 4).is_empty(), "there is no other illustration");
        let alone = read_pages(&gpt, &Cpu::new(1), &tokenizer, &copies[..2], 3, &|| true).unwrap();
        let alone = summarise_pages(&alone, 0).unwrap();
        assert_eq!((alone.n, alone.another_nats_per_token, alone.difference_nats), (2, None, None));
        let losses = read_pages(&gpt, &Cpu::new(1), &tokenizer, &pages, 3, &|| true).unwrap();
        assert_eq!(losses.len(), 8, "one is too long");
        let summary = summarise_pages(&losses, 1).unwrap();
        assert_eq!((summary.n, summary.n_left_out, summary.n_stories), (8, 1, 3));
        let mean = losses.iter().map(|page| page.another_nats.unwrap() - page.own_nats).sum::<f64>() / 8.0;
        assert!((summary.difference_nats.unwrap() - mean).abs() < 1e-12 && mean != 0.0);
        assert!(summary.lo95.unwrap() < mean && mean < summary.hi95.unwrap());
        assert_eq!(summarise_pages(&[], 2), None);
    }
}
