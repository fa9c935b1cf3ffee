//! Parameters that are added to a model or frozen.

use base::Rng;
use model::{AdapterConfig, Gpt, LinearName, Params, Role};
use tensor::{Cpu, DType, Kernels, Tape, Tensor};

use crate::models::{check_same_bits, logits, losses_and_gradients, models, packed, text};

/// On every linear map of a block.
fn everywhere() -> AdapterConfig {
    AdapterConfig { rank: 3, alpha: 6.0, on: LinearName::ALL.to_vec() }
}

/// The model with adapters whose second factor is no longer zero.
fn adapted(gpt: &Gpt) -> Gpt {
    let mut gpt = gpt.clone().with_adapters(&everywhere(), 7);
    let specs = gpt.specs().clone();
    for (spec, param) in specs.iter().zip(gpt.params_mut()) {
        if spec.role == Role::Adapter {
            *param = Tensor::normal(&spec.shape, 0.1, DType::F32, &mut Rng::named(3, &spec.name));
        }
    }
    gpt
}

/// `a·b` of `a [n, m]` and `b [m, k]`.
fn product(a: &[f32], b: &[f32], [n, m, k]: [usize; 3]) -> Vec<f64> {
    let element =
        |i: usize| (0..m).map(|j| f64::from(a[i / k * m + j]) * f64::from(b[j * k + i % k])).sum::<f64>();
    (0..n * k).map(element).collect()
}

fn transposed(x: &Tensor) -> Vec<f32> {
    let (n, k) = (x.shape()[0], x.shape()[1]);
    (0..k * n).map(|i| x.f32()[i % n * k + i / n]).collect()
}

#[track_caller]
fn check_near(what: &str, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    let largest = want.iter().fold(0.0f64, |a, x| a.max(x.abs()));
    assert!(largest > 0.0, "{what} is not zero");
    for (got, want) in got.iter().zip(want) {
        let error = (f64::from(*got) - want).abs() / largest;
        assert!(error < 2e-4, "{what}: {got}, want {want}");
    }
}

/// Logits and gradients of an adapter are those of the weight `W + (alpha/rank)·b·a`, by the chain rule.
#[test]
fn an_adapter_is_a_low_rank_weight() {
    let kernels = Cpu::new(2);
    for gpt in models().into_iter().filter(|gpt| gpt.dtype() == DType::F32) {
        let ids = text(&gpt, 24, 1);
        let (tokens, targets) = (packed(&[&ids[..23]]), &ids[1..]);
        let adapted = adapted(&gpt);
        let mut merged = gpt.clone();
        for (block, own) in merged.params_mut().blocks.iter_mut().zip(&adapted.params().blocks) {
            let own = own.clone();
            for ((_, linear), (_, own)) in block.linears_mut().into_iter().zip(own.clone().linears_mut()) {
                let adapter = own.adapter.as_ref().expect("one everywhere");
                let sizes = [linear.weight.shape()[0], 3, linear.weight.shape()[1]];
                let delta = product(adapter.b.f32(), adapter.a.f32(), sizes);
                linear.weight.f32_mut().iter_mut().zip(delta).for_each(|(w, d)| *w += 2.0 * d as f32);
            }
        }
        for (spec, (own, want)) in
            gpt.specs().iter().zip(adapted.merged().params().iter().zip(merged.params()))
        {
            let want: Vec<f64> = want.f32().iter().map(|x| f64::from(*x)).collect();
            check_near(&spec.name, own.f32(), &want);
        }
        let want: Vec<f64> = logits(&merged, &kernels, &tokens).into_iter().map(f64::from).collect();
        check_near("logits", &logits(&adapted, &kernels, &tokens), &want);
        let (_, grads) = losses_and_gradients(&adapted, &kernels, &tokens, targets, 0.1);
        let (_, mut whole) = losses_and_gradients(&merged, &kernels, &tokens, targets, 0.1);
        for (spec, grad) in adapted.specs().iter().zip(&grads) {
            assert_eq!(grad.is_empty(), spec.role != Role::Adapter, "{} costs a gradient", spec.name);
        }
        for ((whole, own), grads) in whole.blocks.iter_mut().zip(&adapted.params().blocks).zip(&grads.blocks)
        {
            let (mut own, mut grads) = (own.clone(), grads.clone());
            let pairs = own.linears_mut().into_iter().zip(grads.linears_mut());
            for ((_, whole), ((name, own), (_, grads))) in whole.linears_mut().into_iter().zip(pairs) {
                let (own, grads) = (own.adapter.as_ref().unwrap(), grads.adapter.as_ref().unwrap());
                let (n, k) = (whole.weight.shape()[0], whole.weight.shape()[1]);
                let db = product(whole.weight.f32(), &transposed(&own.a), [n, k, 3]);
                let da = product(&transposed(&own.b), whole.weight.f32(), [3, n, k]);
                let twice = |x: Vec<f64>| x.into_iter().map(|x| 2.0 * x).collect::<Vec<_>>();
                check_near(&format!("db of {name:?}"), grads.b.f32(), &twice(db));
                check_near(&format!("da of {name:?}"), grads.a.f32(), &twice(da));
            }
        }
        let recomputing = adapted.clone().with_recomputation(true);
        let (_, again) = losses_and_gradients(&recomputing, &kernels, &tokens, targets, 0.1);
        for (spec, (again, grad)) in adapted.specs().iter().zip(again.iter().zip(&grads)) {
            check_same_bits(&spec.name, again.f32(), grad.f32());
        }
    }
}

/// What was added changes nothing until it is trained.
#[test]
fn adapters_begin_at_nothing() {
    let kernels = Cpu::new(1);
    for gpt in models() {
        let tokens = packed(&[&text(&gpt, 11, 2)]);
        for dtype in [DType::F32, DType::Bf16] {
            let plain = gpt.clone().with_dtype(dtype);
            let adapted = plain.clone().with_adapters(&everywhere(), 1).with_head("value_head.weight", 1);
            check_same_bits(
                "logits",
                &logits(&adapted, &kernels, &tokens),
                &logits(&plain, &kernels, &tokens),
            );
        }
    }
}

/// Frozen parameters take no gradient, and the others get the bits that they get beside trained ones.
#[test]
fn freezing_changes_no_other_gradient() {
    let kernels = Cpu::new(2);
    for gpt in models() {
        let ids = text(&gpt, 20, 3);
        let (tokens, targets) = (packed(&[&ids[..19]]), &ids[1..]);
        let (_, all) = losses_and_gradients(&gpt, &kernels, &tokens, targets, 0.5);
        for role in [Role::Embedding, Role::Matrix, Role::Head, Role::Gain] {
            let mut frozen = gpt.clone();
            frozen.train_only(|spec| spec.role != role);
            let (_, grads) = losses_and_gradients(&frozen, &kernels, &tokens, targets, 0.5);
            for (spec, (grad, want)) in frozen.specs().iter().zip(grads.iter().zip(&all)) {
                match spec.is_trained {
                    true => check_same_bits(&spec.name, grad.f32(), want.f32()),
                    false => assert!(grad.is_empty(), "{} is frozen", spec.name),
                }
            }
        }
    }
}

/// A value head: its gradient reaches its own weight and, beside the language model's, everything below.
#[test]
fn a_head_gets_its_gradient_beside_the_language_models() {
    let kernels = Cpu::new(1);
    let gpt = models().swap_remove(0).with_head("value_head.weight", 1);
    let ids = text(&gpt, 16, 4);
    let tokens = packed(&[&ids]);
    let dv = Tensor::normal(&[16, 1], 1.0, DType::F32, &mut Rng::new(1, 2));
    let mut tape = Tape::recording(&kernels);
    let hidden = gpt.hidden(&mut tape, &tokens, None);
    let values = tape.linear(&hidden.rows, &hidden.params.heads[0].weight, DType::F32);
    assert!(values.value().f32().iter().all(|value| *value == 0.0), "it begins at 0");
    let rows = hidden.rows.value().clone();
    let mut grads: Params<Tensor> = gpt.no_gradients();
    grads.with_slice(|grads| tape.backward_several(vec![(&values, dv.clone())], grads));
    let c = rows.shape()[1];
    let want = product(dv.f32(), rows.f32(), [1, 16, c]);
    check_near("the head's gradient", grads.heads[0].weight.f32(), &want);
    assert!(kernels.sum_of_squares(grads.embedding.slice()) == 0.0, "a head of zeros passes nothing on");
}
