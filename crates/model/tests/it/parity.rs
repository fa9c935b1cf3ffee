//! One forward and backward pass against PyTorch's.

use tensor::{Cpu, DType, Kernels, Reference, Tape, Tensor};

use crate::fixture::{FILES, Fixture, check_close};

const LOGITS: f32 = 1.0;
const LOSS: f32 = 1.0;
const GRADIENT: f32 = 1.0;

#[test]
fn logits_loss_and_every_gradient_match_pytorch() {
    for file in FILES {
        let fixture = Fixture::open(file);
        let gpt = fixture.gpt();
        let kinds: [(&str, &dyn Kernels); 3] =
            [("1 thread", &Cpu::new(1)), ("2 threads", &Cpu::new(2)), ("reference", &Reference)];
        for (kind, kernels) in kinds {
            let what = |part: &str| format!("{file}, {kind}: {part}");
            let tokens = fixture.packed(fixture.integers("ids"));
            let targets = fixture.integers("targets");
            let rows: Vec<usize> = (0..tokens.len()).collect();
            let logits = gpt.logits(kernels, &tokens, &rows, None);
            assert_eq!(logits.shape(), fixture.tensor("logits").shape());
            check_close(&what("logits"), logits.f32(), fixture.tensor("logits").f32(), LOGITS);

            let mut tape = Tape::recording(kernels);
            let (loss, _) = gpt.loss(&mut tape, &tokens, targets, 1.0 / targets.len() as f64);
            check_close(&what("loss"), loss.value().f32(), fixture.tensor("loss").f32(), LOSS);
            let mut grads: Vec<Tensor> =
                gpt.params().iter().map(|param| Tensor::zeros(param.shape(), DType::F32)).collect();
            tape.backward(&loss, Tensor::from_f32(&[1], vec![1.0]), &mut grads);
            for (spec, grad) in fixture.config.params().iter().zip(&grads) {
                let want = fixture.tensor(&format!("grad.{}", spec.name));
                check_close(&what(&format!("gradient of {}", spec.name)), grad.f32(), want.f32(), GRADIENT);
            }
        }
    }
}

#[test]
fn a_stale_or_foreign_fixture_names_the_script_that_writes_it() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(FILES[0]);
    let fresh = std::fs::read(path).unwrap();
    let refusal = |bytes: Result<Vec<u8>, String>| {
        let message = Fixture::read("f", bytes).err().expect("it is refused");
        assert!(message.ends_with("hint: write it again with `python tools/reference/gpt_tiny.py`"), "{message}");
        message
    };
    let edited = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len(), "the header keeps its length");
        let at = fresh.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut bytes = fresh.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        refusal(Ok(bytes))
    };
    assert!(edited(r#""format_version":"1""#, r#""format_version":"0""#).contains("format_version 1, found 0"));
    assert!(edited("reference/gpt_tiny.py", "reference/gpt_huge.py").contains("gpt_tiny.py, found tools"));
    assert!(edited("n_heads", "m_heads").contains("expected a model's config, found"));
    assert!(refusal(Ok(fresh[..1000].to_vec())).contains("expected a safetensors file"));
    assert!(refusal(Err("no such file".into())).contains("expected a file, found no such file"));
}
