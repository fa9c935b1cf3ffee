//! One forward and backward pass against PyTorch's.

use model::{Gpt, ModelConfig, Params};
use tensor::{Cpu, Kernels, Reference, Tensor};

use crate::fixture::{FILES, Fixture, check_close};

/// Worst seen: 3.9e-7; PyTorch itself is up to 3.4e-7 away from f64. A norm's eps of 1e-5 instead of 1e-6 errs by
/// 3e-5, a rotary base off by 5 % by 3e-3.
const LOGITS: f32 = 3e-6;
/// Worst seen: 0, where an ulp is 2.4e-7; PyTorch itself is up to 2.2e-7 away from f64.
const LOSS: f32 = 1e-6;
/// Worst seen: 6.0e-8; PyTorch itself is up to 5.0e-8 away from f64. The same mistakes err by 4e-6 and 4e-4.
const GRADIENT: f32 = 5e-7;

/// Logits, mean loss and gradients on the fixture's batch.
fn one_pass(fixture: &Fixture, gpt: &Gpt, kernels: &dyn Kernels) -> (Tensor, Tensor, Params<Tensor>) {
    let tokens = fixture.packed(fixture.integers("ids"));
    let targets = fixture.integers("targets");
    let rows: Vec<usize> = (0..tokens.len()).collect();
    let logits = gpt.logits(kernels, &tokens, &rows, None);
    let scale = 1.0 / targets.len() as f64;
    let mut grads = gpt.no_gradients();
    let losses = gpt.add_gradients(kernels, &tokens, targets, scale, None, &mut grads);
    let mean = scale * losses.f32().iter().map(|&loss| f64::from(loss)).sum::<f64>();
    (logits, Tensor::from_f32(&[1], vec![mean as f32]), grads)
}

#[test]
fn logits_loss_and_every_gradient_match_pytorch() {
    for file in FILES {
        let fixture = Fixture::open(file);
        // A bound near PyTorch's own rounding would pass or fail by luck.
        let rounding = fixture.json("f32_error");
        for (what, bound) in [("logits", LOGITS), ("loss", LOSS), ("grad", GRADIENT)] {
            let rounding = rounding[what].as_f64().expect("a number");
            assert!(f64::from(bound) > 4.0 * rounding, "{what}: bound {bound:e}, rounding {rounding:e}");
        }
        let kinds: [(&str, &dyn Kernels); 3] =
            [("1 thread", &Cpu::new(1)), ("2 threads", &Cpu::new(2)), ("reference", &Reference)];
        for (kind, kernels) in kinds {
            let what = |part: &str| format!("{file}, {kind}: {part}");
            let (logits, loss, grads) = one_pass(&fixture, &fixture.gpt(), kernels);
            assert_eq!(logits.shape(), fixture.tensor("logits").shape());
            check_close(&what("logits"), logits.f32(), fixture.tensor("logits").f32(), LOGITS);
            check_close(&what("loss"), loss.f32(), fixture.tensor("loss").f32(), LOSS);
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

/// What the bounds are for: mistakes of this size are seen in logits and in gradients. (The second model's
/// embedding is too large to show a wrong eps, the first one's is not.)
#[test]
fn a_slightly_wrong_model_is_seen() {
    let fixtures = FILES.map(Fixture::open);
    type Mistake = fn(&mut ModelConfig);
    let mistakes: [(&str, Mistake); 2] =
        [("eps", |config| config.norm_eps = 1e-5), ("rotary base", |config| config.rope_theta = 10_500.0)];
    for (what, change) in mistakes {
        let errors = fixtures.each_ref().map(|fixture| {
            let mut config = fixture.config.clone();
            change(&mut config);
            let gpt = Gpt::from_params(config, fixture.gpt().params().clone());
            let (logits, _, grads) = one_pass(fixture, &gpt, &Cpu::new(1));
            let specs = fixture.config.params();
            let wants = specs.iter().map(|spec| fixture.tensor(&format!("grad.{}", spec.name)));
            let of_grads = grads.iter().zip(wants).map(|(got, want)| largest_difference(got, want));
            [largest_difference(&logits, fixture.tensor("logits")), of_grads.fold(0.0, f32::max)]
        });
        println!("wrong {what}: logits and gradients off by {errors:?}");
        assert!(errors.iter().any(|[logits, _]| *logits > LOGITS), "a wrong {what} passes in logits");
        assert!(errors.iter().any(|[_, grads]| *grads > GRADIENT), "a wrong {what} passes in gradients");
    }
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    a.f32().iter().zip(b.f32()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
