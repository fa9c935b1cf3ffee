//! Which language a text is in, near what `langdetect` says.
//!
//! Differs: `langdetect` compares n-grams with profiles of 55 languages; here the script decides, and between languages of
//! one script their most frequent words and letters.

/// Frequent words of languages in Latin letters, which a language shares with few others.
const WORDS: [(&str, &str); 10] = [
    (
        "en",
        "the of and to in is that for it as was with be by on not he his but at are this have from or had an they which you were all we her she there been their one so if will would who can has do my your what when how our me up",
    ),
    (
        "de",
        "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat dass sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor zur bis mehr durch man ich wir",
    ),
    (
        "fr",
        "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont avec elle ou je nous vous mais comme leur été cette son ses aux être fait tout ils",
    ),
    (
        "es",
        "de la que el en y a los del se las por un para con no una su al lo como más pero sus le ya o este sí porque esta entre cuando muy sin sobre también me hasta hay donde quien desde todo nos",
    ),
    (
        "it",
        "di e il la che in un a per è una sono con non del della le si da al dei come anche più ma nel ha lo alla gli delle questo essere io ci mi o se i suo tra",
    ),
    (
        "pt",
        "de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à seu sua ou ser quando muito há nos já está eu também só pelo pela até",
    ),
    (
        "nl",
        "de van het een en in is dat op te zijn met voor niet aan er om ook als dan maar bij door naar uit nog over worden wordt ze hij wat tot je ik deze die",
    ),
    (
        "fi",
        "ja on ei se että hän oli ovat mutta kun joka tai myös kuin sen niin jos vain ole mitä siitä nyt voi minä sinä kaikki olla tämä joka hyvin kanssa",
    ),
    (
        "sw",
        "na ya wa kwa ni katika la za kuwa hii cha kama hiyo yake wao pia huo watu hivyo lakini kila yangu mimi wewe sana vya nchi baada",
    ),
    (
        "vi",
        "và của là có được trong cho một không các với người những để này khi đã về như tôi bạn cũng từ nhưng đến thì sẽ rất nhiều",
    ),
];

/// Whether a text is in a language, named by its code. A text in which no language can be seen counts as in any.
pub(super) fn is(text: &str, language: &str) -> bool {
    guess(text).is_none_or(|found| found == language)
}

fn guess(text: &str) -> Option<&'static str> {
    let letters: Vec<char> = text.chars().filter(|c| c.is_alphabetic()).collect();
    let scripts = [
        ("deva", 0x900..=0x97f),
        ("beng", 0x980..=0x9ff),
        ("guru", 0xa00..=0xa7f),
        ("gujr", 0xa80..=0xaff),
        ("taml", 0xb80..=0xbff),
        ("telu", 0xc00..=0xc7f),
        ("knda", 0xc80..=0xcff),
        ("mlym", 0xd00..=0xd7f),
        ("thai", 0xe00..=0xe7f),
        ("arab", 0x600..=0x6ff),
        ("cyrl", 0x400..=0x4ff),
        ("hang", 0xac00..=0xd7a3),
        ("kana", 0x3040..=0x30ff),
        ("hani", 0x4e00..=0x9fff),
        ("hebr", 0x590..=0x5ff),
        ("grek", 0x370..=0x3ff),
        ("latn", 0x41..=0x24f),
        ("latn", 0x1e00..=0x1eff),
    ];
    let of = |c: char| scripts.iter().find(|(_, range)| range.contains(&(c as u32))).map(|(name, _)| *name);
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    letters.iter().filter_map(|c| of(*c)).for_each(|name| *counts.entry(name).or_default() += 1);
    let has = |signs: &str| text.chars().filter(|c| signs.contains(*c)).count();
    let says = |words: &str| words.split(' ').map(|word| text.matches(word).count()).sum::<usize>();
    if counts.get("kana").is_some_and(|n| *n * 20 > letters.len()) {
        return Some("ja");
    }
    let (script, _) = counts.into_iter().max_by_key(|(_, n)| *n)?;
    Some(match script {
        "beng" => "bn",
        "guru" => "pa",
        "gujr" => "gu",
        "taml" => "ta",
        "telu" => "te",
        "knda" => "kn",
        "mlym" => "ml",
        "thai" => "th",
        "hang" => "ko",
        "hani" => "zh-cn",
        "hebr" => "he",
        "grek" => "el",
        "deva" => {
            let scores = [
                ("hi", says("है हैं में और का की को से")),
                ("mr", says("आहे आणि ळ च्या मध्ये आहेत")),
                ("ne", says("छ हो र मा को छन् गर्न लाई")),
            ];
            best(&scores)
        }
        "arab" => best(&[("ar", has("ةىأإ") + 1), ("fa", 2 * has("پچژگکی") / 2), ("ur", 3 * has("ٹڈڑےںھہ"))]),
        "cyrl" => match (has("іїєґ"), has("ыэё"), has("ъ")) {
            (uk, ru, _) if uk > ru => "uk",
            (_, 0, bg) if bg > 0 => "bg",
            _ => "ru",
        },
        _ => return latin(text),
    })
}

fn latin(text: &str) -> Option<&'static str> {
    let lower = text.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).collect();
    let scores = WORDS.map(|(language, known)| {
        let known: Vec<&str> = known.split(' ').collect();
        (language, words.iter().filter(|word| known.contains(word)).count())
    });
    // Without a word that is known, English: most texts here are.
    (!words.is_empty()).then(|| best(&scores))
}

/// That with the highest score; of equals the first.
fn best(scores: &[(&'static str, usize)]) -> &'static str {
    let max = scores.iter().map(|(_, score)| *score).max().unwrap_or(0);
    scores.iter().find(|(_, score)| *score == max).map_or("en", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_in_their_languages() {
        let texts = [
            ("en", "This is a plain sentence, and it is not long."),
            ("de", "Das ist ein einfacher Satz, und er ist nicht lang."),
            ("it", "Questa è una frase semplice che non è molto lunga."),
            ("pt", "Esta é uma frase simples que não é muito longa."),
            ("fi", "Tämä on lyhyt lause, mutta se ei ole kovin hyvä."),
            ("sw", "Hii ni sentensi fupi katika lugha ya Kiswahili."),
            ("vi", "Đây là một câu ngắn và không có nhiều từ."),
            ("hi", "यह एक छोटा वाक्य है और इसमें कुछ शब्द हैं।"),
            ("ne", "यो एउटा छोटो वाक्य हो र यसमा केही शब्दहरू छन्।"),
            ("mr", "हे एक लहान वाक्य आहे आणि त्यात काही शब्द आहेत."),
            ("ru", "Это простое предложение, и мы его видим."),
            ("bg", "Това е кратко изречение, което съдържа няколко думи, тъй като е пример."),
            ("ar", "هذه جملة قصيرة في اللغة العربية."),
            ("fa", "این یک جمله کوتاه به زبان فارسی است که می گویند."),
            ("ur", "یہ اردو میں ایک چھوٹا جملہ ہے اور اس میں کچھ الفاظ ہیں۔"),
            ("ko", "이것은 짧은 문장입니다."),
            ("th", "นี่คือประโยคสั้นๆ"),
        ];
        for (language, text) in texts {
            assert!(is(text, language), "{language}: {:?}", guess(text));
        }
        assert!(!is("Das ist der Satz.", "en") && is("123 !", "en"));
    }
}
