//! Chat templates against transformers: `fixtures/chat_templates.json`, written by `tools/reference/chat_templates.py`.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use data::{ChatTemplate, Message};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    clock: i64,
    conversations: BTreeMap<String, String>,
    templates: BTreeMap<String, String>,
    /// Template, conversation, and what transformers renders; nothing where Jinja2 refuses.
    cases: Vec<(String, String, Option<String>)>,
}

fn fixture() -> Fixture {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/chat_templates.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What this program says of a case that transformers renders: the reasons that may stand there, and how often.
const REFUSED: [(&str, usize); 14] = [
    ("marked as safe HTML", 1),
    ("the test of a loop reads a namespace that the loop may change", 1),
    ("Python's `__class__`", 1),
    ("the attribute `fromkeys`", 1),
    ("the date format `%s`", 1),
    ("`{% autoescape %}`", 1),
    ("`{% block %}`", 1),
    ("the template uses `self`", 1),
    ("the filter `pprint`", 1),
    ("the filter `filesizeformat`", 1),
    ("the filter `wordwrap`", 1),
    ("the filter `striptags`", 1),
    ("the filter `xmlattr`", 1),
    ("the filter `random`", 1),
];

#[test]
fn templates_render_as_in_transformers() {
    let fixture = fixture();
    assert!(fixture.cases.len() >= 400, "{} cases", fixture.cases.len());
    let (mut wrong, mut refused) = (Vec::new(), BTreeMap::<String, usize>::new());
    for (name, conversation, expected) in &fixture.cases {
        let source = &fixture.templates[name];
        let rendered = ChatTemplate::parse(source, "", "")
            .map(|template| template.with_clock_at(fixture.clock))
            .and_then(|template| template.render_json(&fixture.conversations[conversation]));
        let told = |found: &dyn std::fmt::Debug| {
            format!(
                "{name}, {conversation}\n  template {source:?}\n  expected {expected:?}\n  found    {found:?}"
            )
        };
        match (&rendered, expected) {
            (Ok(rendered), Some(expected)) if rendered == expected => {}
            (Err(_), None) => {}
            (Err(error), Some(_)) => {
                let error = error.to_string();
                match REFUSED.iter().find(|(reason, _)| error.contains(reason)) {
                    Some((reason, _)) => *refused.entry((*reason).to_owned()).or_default() += 1,
                    None => wrong.push(told(&error)),
                }
            }
            (found, _) => wrong.push(told(found)),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} cases differ:\n{}",
        wrong.len(),
        fixture.cases.len(),
        wrong.join("\n")
    );
    let expected: BTreeMap<String, usize> =
        REFUSED.iter().map(|(reason, n)| ((*reason).to_owned(), *n)).collect();
    assert_eq!(refused, expected);
}

/// Templates that would take all time or memory, or more stack than there is.
fn hostile() -> Vec<(&'static str, String)> {
    let nested = |open: &str, inner: &str, close: &str, n: usize| open.repeat(n) + inner + &close.repeat(n);
    vec![
        ("a cyclic namespace as JSON", "{% set ns=namespace() %}{% set ns.a=ns %}{{ ns|tojson }}".into()),
        ("a cyclic namespace in a list", "{% set ns=namespace() %}{% set ns.a=[ns] %}{{ ns.a }}{{ ns.a|tojson }}".into()),
        ("a long sum", format!("{{{{ 1{} }}}}", "+1".repeat(20_000))),
        ("many signs", format!("{{{{ {}1 }}}}", "-".repeat(20_000))),
        ("many nots", format!("{{{{ {}1 }}}}", "not ".repeat(20_000))),
        ("many brackets", format!("{{{{ {} }}}}", nested("(", "1", ")", 20_000))),
        ("many lists", format!("{{{{ {} }}}}", nested("[", "", "]", 20_000))),
        ("many dictionaries", format!("{{{{ {} }}}}", nested("{1:", "1", "}", 20_000))),
        ("many filters", format!("{{{{ 'a'{} }}}}", "|upper".repeat(20_000))),
        ("many attributes", format!("{{{{ a{} }}}}", ".b".repeat(20_000))),
        ("many subscripts", format!("{{{{ {} }}}}", nested("a[", "1", "]", 20_000))),
        ("many calls", format!("{{{{ a{} }}}}", "()".repeat(20_000))),
        ("many conditions", format!("{{{{ {} }}}}", "1 if 1 else ".repeat(20_000) + "1")),
        ("many statements", nested("{% if true %}", "", "{% endif %}", 20_000)),
        ("many loops", nested("{% for a in [1] %}", "", "{% endfor %}", 20_000)),
        ("many targets", format!("{{% set {}a{} = 1 %}}", "(".repeat(20_000), ")".repeat(20_000))),
        ("doubling a list", "{% set ns=namespace(l=[1]) %}{% for i in range(40) %}{% set ns.l=ns.l+ns.l %}{% endfor %}".into()),
        ("doubling a text", "{% set ns=namespace(l='x') %}{% for i in range(60) %}{% set ns.l=ns.l~ns.l %}{% endfor %}".into()),
        ("a deep list", "{% set ns=namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l=[ns.l] %}{% endfor %}{{ ns.l }}".into()),
        ("a chain of namespaces", "{% set ns=namespace() %}{% for i in range(99999) %}{% set ns.l=namespace(l=ns.l) %}{% endfor %}".into()),
        (
            "a chain of macros",
            "{% set ns=namespace(f=0) %}{% for i in range(99999) %}{% set x=ns.f %}{% macro f() %}{% endmacro %}{% set ns.f=f %}{% endfor %}".into(),
        ),
        ("a wide format", "{{ \"{:2000000000}\".format(1) }}".into()),
        ("a wide format in a format", "{{ \"{:{w}}\".format(1, w=2000000000) }}".into()),
        ("a wide directive", "{{ '%2000000000d' % 1 }}{{ '%.2000000000f' % 1.5 }}".into()),
        ("a precise number", "{{ '{:.100000000f}'.format(1.5) }}".into()),
        ("a wide centre", "{{ 'a'.center(2000000000) }}".into()),
        ("a wide filter", "{{ 'a' | center(2000000000) }}".into()),
        ("a wide indent", "{{ 'a\nb' | indent(2000000000) }}".into()),
        ("a wide JSON indent", "{{ [1] | tojson(indent=2000000000) }}".into()),
        ("many zeros", "{{ '1'.zfill(2000000000) }}".into()),
        ("a wide tab", "{{ '\t'.expandtabs(2000000000) }}".into()),
        ("a long text", "{{ 'x' * 1000000000000 }}".into()),
        ("a long list", "{{ [1] * 1000000000000 }}".into()),
        ("a long tuple", "{{ ((1, 2) * 1000000000) | length }}".into()),
        ("a long join", "{{ ('x' * 100000).join(['a'] * 100000) }}".into()),
        ("a long filter join", "{{ (['a'] * 100000) | join('x' * 100000) }}".into()),
        ("a growing replacement", "{{ ('a' * 100000).replace('a', 'b' * 100000) }}".into()),
        ("a growing replacement of nothing", "{{ ('a' * 100000).replace('', 'b' * 100000) }}".into()),
        ("wide batches", "{{ [1] | batch(2000000000, 0) | list }}".into()),
        ("many slices", "{{ [1] | slice(2000000000) | list }}".into()),
        ("a large power", "{{ 9 ** 9 ** 9 ** 9 }}".into()),
        ("a growing number", "{% set ns=namespace(n=3) %}{% for i in range(99) %}{% set ns.n=ns.n*ns.n %}{% endfor %}{{ ns.n }}".into()),
        ("loops in loops", "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}".into()),
        ("much output", "{% for a in range(99999) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' * 1000 }}{% endfor %}".into()),
        ("a macro that calls itself", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".into()),
        ("macros that call each other twice", "{% macro f(n) %}{{ f(n+1) }}{{ f(n+1) }}{% endmacro %}{{ f(0) }}".into()),
        ("a tree of calls", "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}".into()),
        ("a recursive loop", "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}".into()),
        ("a slow search", "{% set a='a' * 1000000 %}{% for i in range(1000) %}{{ (a ~ 'b') in (a ~ a) }}{% endfor %}".into()),
        ("a slow comparison", "{% set a=[1] * 300000 %}{% for i in range(99999) %}{{ a == a }}{% endfor %}".into()),
        ("a slow sort", "{% set a=range(99999)|list %}{% for i in range(9999) %}{{ a|sort|first }}{% endfor %}".into()),
        ("a slow dictionary", "{% set d=namespace(p=[]) %}{% for i in range(9) %}{% set d.p=range(99999)|batch(2)|list %}{% endfor %}{{ dict(d.p)|length }}".into()),
        ("slow unique items", "{{ range(99999) | unique | list | length }}".into()),
        ("printing a large value often", "{% set a=range(9999)|list %}{% for i in range(99999) %}{% set b = a|string %}{% endfor %}".into()),
        ("a wide alphabet", "{% set a='é' * 1000000 %}{% for i in range(999) %}{{ a.isalpha() }}{% endfor %}".into()),
        ("a long set to strip", "{% set a='ab' * 1000000 %}{% for i in range(99999) %}{{ a.strip(a)|length }}{% endfor %}".into()),
        ("a long path", format!("{{{{ range(99999)|list|map(attribute='{}', default={{}})|list|length }}}}", "a.".repeat(200_000))),
        ("large integers", "{{ -(2**125) * 2 // -1 % -1 }}{{ (-(2**126))|abs }}{{ [1][-(2**126):] }}{{ 2**127 }}".into()),
        (
            "many variables",
            (0..40_000).map(|i| format!("{{%set v{i}=1%}}")).collect::<String>() + "{% for i in range(99999) %}{{ z }}{{ z }}{% endfor %}",
        ),
        (
            "many branches",
            "{% if a0 %}".to_owned() + &(0..20_000).map(|i| format!("{{%elif a{i}%}}{{%set b{i}=1%}}")).collect::<String>() + "{% endif %}{{ a() }}",
        ),
        (
            "many loops side by side",
            (0..9_000).map(|i| format!("{{%for a in c{i}%}}{{%set b{i}=a%}}{{%endfor%}}")).collect::<String>() + "{{ a() }}",
        ),
        ("many keyword arguments", format!("{{{{ a({}) }}}}", (0..90_000).map(|i| format!("a{i}=1,")).collect::<String>())),
        ("a long complaint", "{{ raise_exception('x' * 9999999) }}".into()),
        ("a huge template", "x".repeat(8 << 20)),
        ("many tokens", "{{ 1 }}".repeat(150_000) + "{{"),
        ("many open tags", "{% raw %}".to_owned() + &"{% endra".repeat(100_000)),
        ("many open comments", "{#".repeat(500_000)),
    ]
}

#[test]
fn hostile_templates_end_in_time() {
    for (what, source) in hostile() {
        let started = Instant::now();
        let rendered = ChatTemplate::parse(&source, "", "")
            .and_then(|template| template.render(&[Message::new("user", "hi")], true));
        let took = started.elapsed();
        assert!(took < Duration::from_secs(15), "{what} took {took:?}");
        let error = rendered.err().map(|error| error.to_string());
        // Some are bounded by their own size and come to an end.
        let may_end = ["a chain of namespaces", "a chain of macros", "a recursive loop"].contains(&what);
        assert!(may_end || error.as_ref().is_some_and(|error| error.contains("hint:")), "{what}: {error:?}");
    }
}
