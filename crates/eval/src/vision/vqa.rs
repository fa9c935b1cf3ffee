//! The accuracy of VQAv2 and TextVQA: ten people answered, an answer that three of them gave is right.

/// What is normalised before answers are compared; the published scorers disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VqaRules {
    /// VQAv2's own evaluation: nothing but white space where all people agree, so that "Yes" is wrong where all said
    /// "yes"; everything else otherwise.
    Official,
    /// lmms-eval's task `vqav2`: the model's answer always, those of people only where they disagree. "Yes" is right where
    /// all said "yes", but "one" never meets a "one" that all agree on, having become "1".
    LmmsEval,
    /// lmms-eval's and MMF's TextVQA: everything always.
    TextVqa,
}

const ARTICLES: [&str; 3] = ["a", "an", "the"];
const NUMBERS: [(&str, &str); 12] = [
    ("none", "0"),
    ("zero", "0"),
    ("one", "1"),
    ("two", "2"),
    ("three", "3"),
    ("four", "4"),
    ("five", "5"),
    ("six", "6"),
    ("seven", "7"),
    ("eight", "8"),
    ("nine", "9"),
    ("ten", "10"),
];
const PUNCTUATION: &str = ";/[]\"{}()=+\\_-><@`,?!";
/// The replacement is limited by accident: the protocol passes a flag of 32 where the number of replacements stands.
const MAX_PERIODS: usize = 32;
/// A word with one of its apostrophes left out is read as the word.
const CONTRACTIONS: &str = "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've \
    hasn't haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've \
    mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've \
    somebody'd've somebody'll somebody's someone'd someone'd've someone's something'd something'd've something'll \
    that's there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've \
    weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll \
    why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've";

/// The accuracy of one answer: over the people, the mean of min(1, others who gave it / 3). 0 without people.
///
/// ```
/// use eval::vision::{VqaRules, vqa_accuracy};
/// let people = ["red", "red", "Red.", "dark red", "red", "pink", "red", "red", "red", "red"];
/// assert_eq!(vqa_accuracy("the red", &people, VqaRules::LmmsEval), 1.0);
/// ```
pub fn vqa_accuracy(prediction: &str, people: &[&str], rules: VqaRules) -> f64 {
    let plain = |text: &str| text.replace(['\n', '\t'], " ").trim().to_owned();
    let mut people: Vec<String> = people.iter().map(|answer| plain(answer)).collect();
    let do_differ = people.windows(2).any(|pair| pair[0] != pair[1]);
    let mut prediction = match rules {
        VqaRules::Official => plain(prediction),
        VqaRules::LmmsEval | VqaRules::TextVqa => tokenized(prediction),
    };
    match rules {
        VqaRules::TextVqa => people.iter_mut().for_each(|answer| *answer = tokenized(answer)),
        VqaRules::Official | VqaRules::LmmsEval if do_differ => {
            people.iter_mut().for_each(|answer| *answer = normalised(answer));
            prediction = normalised(&prediction);
        }
        VqaRules::Official | VqaRules::LmmsEval => {}
    }
    let n_equal = people.iter().filter(|answer| **answer == prediction).count();
    let of_one = |answer: &String| {
        let n_others = n_equal - usize::from(*answer == prediction);
        (n_others as f64 / 3.0).min(1.0)
    };
    match people.len() {
        0 => 0.0,
        n => people.iter().map(of_one).sum::<f64>() / n as f64,
    }
}

/// What MMF does to an answer, normalisation included.
fn tokenized(text: &str) -> String {
    let text = text.to_lowercase().replace([',', '?'], "").replace("'s", " 's");
    normalised(text.trim().replace(['\n', '\t'], " ").trim())
}

fn normalised(text: &str) -> String {
    let text = without_punctuation(text).to_lowercase();
    let words = text
        .split_whitespace()
        .map(|word| NUMBERS.iter().find(|(name, _)| *name == word).map_or(word, |(_, digits)| *digits));
    let words = words.filter(|word| !ARTICLES.contains(word));
    words.map(contraction).collect::<Vec<_>>().join(" ")
}

/// A mark beside a space vanishes wherever it stands, another becomes a space; with a comma between digits all vanish.
fn without_punctuation(text: &str) -> String {
    let digits_apart = text.as_bytes().windows(3);
    let has_number =
        digits_apart.into_iter().any(|w| w[0].is_ascii_digit() && w[1] == b',' && w[2].is_ascii_digit());
    let vanishes =
        |mark: char| has_number || text.contains(&format!("{mark} ")) || text.contains(&format!(" {mark}"));
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match PUNCTUATION.contains(c) {
            false => out.push(c),
            true if vanishes(c) => {}
            true => out.push(' '),
        }
    }
    without_periods(&out)
}

/// Periods stay in front of digits.
fn without_periods(text: &str) -> String {
    let mut n_left = MAX_PERIODS;
    let mut out = String::with_capacity(text.len());
    for (i, c) in text.char_indices() {
        if c == '.' && n_left > 0 && !text[i + 1..].starts_with(|c: char| c.is_ascii_digit()) {
            n_left -= 1;
        } else {
            out.push(c);
        }
    }
    out
}

fn contraction(word: &str) -> &str {
    let lacks_one = |whole: &&str| {
        let mut apostrophes = whole.match_indices('\'');
        apostrophes.any(|(i, _)| {
            word.len() + 1 == whole.len() && word.starts_with(&whole[..i]) && word.ends_with(&whole[i + 1..])
        })
    };
    match word {
        "somebody'd" => "somebodyd", // the published table has it the wrong way round
        "someonell" => "someone'll",
        _ => CONTRACTIONS.split_whitespace().find(lacks_one).unwrap_or(word),
    }
}
