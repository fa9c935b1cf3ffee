//! Programs that a model wrote, judged by running them apart.
#![cfg(target_os = "linux")]

use serde_json::{Value, json};

use crate::scene::Scene;

/// Programs with what is to become of them: the first words of how they end.
const PROGRAMS: [(&str, &str); 36] = [
    ("x = 1 + 1\nassert x == 2", "passed"),
    ("open('a', 'w').write('x'); assert open('a').read() == 'x'", "passed"),
    (
        "from concurrent.futures import ThreadPoolExecutor as T\nassert list(T(2).map(abs, [-1])) == [1]",
        "passed",
    ),
    ("import threading, time\nthreading.Thread(target=lambda: time.sleep(1000)).start()", "passed"),
    ("for i in range(100000): print('x' * 1000)", "passed"),
    ("assert 1 == 2, 'no'", "failed: AssertionError"),
    ("def f(:", "failed: SyntaxError"),
    ("while True: pass", "timed_out"),
    ("import time; time.sleep(1000)", "timed_out"),
    ("while True:\n    try:\n        while True: pass\n    except BaseException: pass", "timed_out"),
    ("import sys; sys.exit(0)", "failed: SystemExit"),
    ("import os; os._exit(0)", "left: 0"),
    ("open('/etc/passwd').read()", "failed: FileNotFoundError"),
    ("open('/root/.bashrc').read()", "failed: FileNotFoundError"),
    ("open('/proc/self/environ').read()", "failed: FileNotFoundError"),
    ("open('/evil', 'w')", "failed: OSError"),
    ("open('/usr/bin/evil', 'w')", "failed: OSError"),
    ("f = open('big', 'wb')\nfor i in range(200): f.write(b'x' * (1 << 20))", "failed: OSError"),
    ("for i in range(100): open(f'f{i}', 'wb').write(b'x' * (2 << 20))", "failed: OSError"),
    ("x = b'x' * (1 << 33)", "failed: MemoryError"),
    ("import os\nwhile True: os.fork()", "failed: PermissionError"),
    ("import subprocess; subprocess.run(['sh', '-c', 'rm -rf /usr'])", "failed: PermissionError"),
    (
        "import threading, time\nwhile True: threading.Thread(target=lambda: time.sleep(100)).start()",
        "failed: RuntimeError",
    ),
    ("import socket; socket.create_connection(('1.1.1.1', 80), timeout=2)", "failed: OSError"),
    ("import socket; socket.create_connection(('127.0.0.1', 22), timeout=2)", "failed: OSError"),
    ("import os, signal; os.kill(-1, signal.SIGKILL)", "failed: ProcessLookupError"),
    ("import ctypes; assert ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0", "failed: AssertionError"),
    (
        "import ctypes; assert ctypes.CDLL(None).mount(b'none', b'/work', b'tmpfs', 0, None) == 0",
        "failed: AssertionError",
    ),
    ("import ctypes; assert ctypes.CDLL(None).unshare(0x10000000) == 0", "failed: AssertionError"),
    ("import os\nwhile True: os.write(3, b'x' * 65536)", "too_much_output"),
    (
        "import os\nfor fd in range(3, 20):\n    try: os.write(fd, b'\\npassed\\n')\n    except OSError: pass\nassert False",
        "failed: AssertionError",
    ),
    ("import ctypes; ctypes.string_at(0)", "killed: 11"),
    ("import os; os.setuid(0)", "failed: OSError"),
    ("import os; os.mknod('disk', 0o660 | 0o060000, os.makedev(8, 0))", "failed: PermissionError"),
    ("raise ValueError('x' * 10**7)", "failed: ValueError"),
    ("class E(Exception):\n    def __str__(self): raise SystemExit\nraise E", "failed: an exception"),
];

#[test]
fn programs_end_as_they_must_and_leave_nothing() {
    let scene = Scene::new();
    let item = |(i, (program, _)): (usize, &(&str, &str))| {
        let output = json!({ "text": "", "n_tokens": 1, "finish": "stop" });
        let tests = "def check(f): pass";
        let reference = json!({ "prompt": format!("f = 0\n{program}"), "test": tests, "entry_point": "f" });
        let item = json!({ "task": "humaneval", "doc_id": i, "target": "", "outputs": [output], "reference": reference });
        format!("{item}\n")
    };
    let items: String = PROGRAMS.iter().enumerate().map(item).collect();
    scene.write("out/eval/humaneval-0shot.jsonl", items.as_bytes());
    let provenance = json!({ "task": "humaneval", "version": 1, "task_sha256": "", "shots": 0, "n_all": 36, "data": [],
        "notes": [], "weights_sha256": "", "tokenizer": "", "dtype": "f32" });
    scene.write("out/eval/humaneval-0shot.json", provenance.to_string().as_bytes());
    let plain = scene.ok(&["eval", "--rescore", "--out", "out", "--json"]).json();
    assert_eq!(plain["results"][0]["metrics"], json!({}), "nothing is run unless it is asked for");
    let said = scene.run(&["eval", "--rescore", "--run-programs", "--out", "out", "--json"]);
    let is_refused = ["expected to keep programs apart", "expected the interpreter"];
    if is_refused.iter().any(|refusal| said.stderr.contains(refusal)) {
        assert_eq!(scene.read("out/eval/humaneval-0shot.jsonl"), items, "without isolation nothing is run");
        return;
    }
    assert!(
        said.stderr.contains("read-only file system") && said.stderr.contains("system calls"),
        "{}",
        said.stderr
    );
    let n_passed = PROGRAMS.iter().filter(|(_, end)| *end == "passed").count();
    let value = said.json()["results"][0]["metrics"]["pass@1"]["value"].as_f64().unwrap();
    assert!((value - n_passed as f64 / PROGRAMS.len() as f64).abs() < 1e-9, "{value}");
    let text = scene.read("out/eval/humaneval-0shot.jsonl");
    for (line, (program, expected)) in text.lines().zip(PROGRAMS) {
        let item: Value = serde_json::from_str(line).unwrap();
        let found = match &item["outputs"][0]["program"] {
            Value::String(name) => name.clone(),
            Value::Object(named) => named
                .iter()
                .map(|(name, of)| {
                    format!("{name}: {}", of.as_str().map_or_else(|| of.to_string(), str::to_owned))
                })
                .collect(),
            other => panic!("{other}"),
        };
        assert!(found.starts_with(expected), "{program}\nended with {found}, expected {expected}");
    }
    // What was judged once is judged again without running anything.
    let again = scene.ok(&["eval", "--rescore", "--out", "out", "--json"]).json();
    assert_eq!(again["results"], said.json()["results"]);
    let left = std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains("run-program-of-a-model")
    });
    assert_eq!(left.count(), 0);
    let mut names: Vec<String> = scene.files("out").keys().map(|name| name.display().to_string()).collect();
    names.sort();
    assert_eq!(names, ["eval/humaneval-0shot.json", "eval/humaneval-0shot.jsonl"]);
}
