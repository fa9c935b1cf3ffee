//! Any text as a chat template: refused, stopped, or rendered.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(template) = data::ChatTemplate::parse(text, "<s>", "</s>") else { return };
    let _ = template.render(&[data::Message::new("user", "Hello")], true);
});
