//! One forward and backward pass against PyTorch's.

use model::{Gpt, ModelConfig};
use tensor::{Cpu, DType, Kernels, Reference, Tape, Tensor};

use crate::fixture::{FILES, Fixture, check_close};

/// Worst seen: 3.9e-7, on logits of up to about 3; PyTorch itself is up to 3.4e-7 away from f64.
const LOGITS: f32 = 3e-6;
/// Worst seen: 0. An ulp is 2.4e-7 here, and PyTorch is up to 2.2e-7 away from f64.
const LOSS: f32 = 1e-6;
/// Worst seen: 6.0e-8, on gradients of up to about 0.1.
const GRADIENT: f32 = 5e-7;

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
        assert!(
            message.ends_with("hint: write it again with `python tools/reference/gpt_tiny.py`"),
            "{message}"
        );
        message
    };
    let edited = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len(), "the header keeps its length");
        let at = fresh.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut bytes = fresh.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        refusal(Ok(bytes))
    };
    assert!(
        edited(r#""format_version":"1""#, r#""format_version":"0""#).contains("format_version 1, found 0")
    );
    assert!(edited("reference/gpt_tiny.py", "reference/gpt_huge.py").contains("gpt_tiny.py, found tools"));
    assert!(edited("n_heads", "m_heads").contains("expected a model's config, found"));
    assert!(refusal(Ok(fresh[..1000].to_vec())).contains("expected a safetensors file"));
    assert!(refusal(Err("no such file".into())).contains("expected a file, found no such file"));
}

/// What the bounds are for: mistakes of this size are seen in the logits and in the gradients.
#[test]
fn a_slightly_wrong_model_is_seen() {
    for file in FILES {
        let fixture = Fixture::open(file);
        let tokens = fixture.packed(fixture.integers("ids"));
        let targets = fixture.integers("targets");
        let rows: Vec<usize> = (0..tokens.len()).collect();
        let right = fixture.config.clone();
        let wrong = [
            ("eps", ModelConfig { norm_eps: 1e-5, ..right.clone() }),
            ("rotary base", ModelConfig { rope_theta: 10_500.0, ..right }),
        ];
        for (what, config) in wrong {
            let gpt = Gpt::from_params(config, fixture.gpt().params().to_vec());
            let logits = gpt.logits(&Cpu::new(1), &tokens, &rows, None);
            let mut grads: Vec<Tensor> =
                gpt.params().iter().map(|param| Tensor::zeros(param.shape(), DType::F32)).collect();
            let mut tape = Tape::recording(&Reference);
            let (loss, _) = gpt.loss(&mut tape, &tokens, targets, 1.0 / targets.len() as f64);
            tape.backward(&loss, Tensor::from_f32(&[1], vec![1.0]), &mut grads);
            let worst = |got: &[f32], want: &[f32]| {
                got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
            };
            let of_logits = worst(logits.f32(), fixture.tensor("logits").f32());
            let specs = fixture.config.params();
            let of_grads = specs
                .iter()
                .zip(&grads)
                .map(|(spec, grad)| worst(grad.f32(), fixture.tensor(&format!("grad.{}", spec.name)).f32()));
            let of_grads = of_grads.fold(0.0, f32::max);
            println!("{file}, wrong {what}: logits {of_logits:.1e}, gradients {of_grads:.1e}");
            assert!(of_logits > LOGITS && of_grads > GRADIENT, "{file}: a wrong {what} passes");
        }
    }
}
