//! Requests that nobody sends by mistake.

use serde_json::json;
use serve::Settings;

use crate::scene::Scene;

const JSON: (&str, &str) = ("Content-Type", "application/json");
const BODY: &[u8] = br#"{"prompt": "x", "max_tokens": 1}"#;

#[test]
fn other_sites_may_not_use_the_server() {
    let settings = Settings {
        allowed_origins: vec!["https://good.org".into()],
        allowed_hosts: vec!["box.lan".into()],
        ..Settings::default()
    };
    let scene = Scene::with(settings);
    let post = |headers: &[(&str, &str)]| {
        let all = [&[JSON], headers].concat();
        scene.client().send("POST", "/v1/completions", &all, BODY)
    };
    let foreign = [
        ("Origin", "https://evil.com"),
        ("Origin", "null"),
        ("Origin", "http://localhost:1"),
        ("Origin", "https://good.org.evil.com"),
        ("Origin", "file://"),
    ];
    for header in foreign {
        let reply = post(&[header]);
        assert_eq!((reply.status, reply.error().1), (403, json!("foreign_origin")), "{header:?}");
        assert_eq!(reply.header("access-control-allow-origin"), None);
    }
    for host in ["evil.com", "localhost.evil.com", "127.0.0.1.nip.io", "localhost@evil.com", ""] {
        let reply = post(&[("Host", host)]);
        assert!([400, 403].contains(&reply.status), "{host}: {}", reply.status);
    }
    for own in ["localhost:99", "127.0.0.1", "[::1]:8", "BOX.lan"] {
        assert_eq!(post(&[("Host", own), ("Origin", &format!("http://{own}"))]).status, 200, "{own}");
    }
    let reply = post(&[("Origin", "https://good.org")]);
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some("https://good.org")));
    let preflight = |origin| scene.client().send("OPTIONS", "/v1/completions", &[("Origin", origin)], b"");
    assert_eq!(preflight("https://good.org").status, 204);
    assert_eq!(preflight("https://evil.com").status, 403);
    // Two hosts, or another in the line of the request.
    assert_eq!(post(&[("Host", "localhost"), ("Host", "evil.com")]).status, 400);
    let reply = scene.client().send("GET", "http://evil.com/v1/models", &[], b"");
    assert_eq!(reply.status, 403);
}

#[test]
fn a_form_of_another_site_is_no_json() {
    let scene = Scene::new();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let reply = scene.client().send("POST", "/v1/completions", &[("Content-Type", kind)], BODY);
        assert_eq!((reply.status, reply.error().1), (415, json!("unsupported_media_type")));
    }
    assert_eq!(scene.client().send("POST", "/v1/completions", &[], BODY).status, 415);
    let charset = ("Content-Type", "application/json; charset=utf-8");
    assert_eq!(scene.client().send("POST", "/v1/completions", &[charset], BODY).status, 200);
}

#[test]
fn json_that_is_none_is_refused() {
    let scene = Scene::new();
    let deep = ["[".repeat(100_000), "{\"a\":".repeat(100_000)].map(String::into_bytes);
    let other: [&[u8]; 9] = [
        b"",
        b"{",
        b"[]",
        b"7",
        b"\"x\"",
        b"null",
        b"{\"prompt\": \"\xff\"}",
        b"{\"prompt\": 1e999}",
        b"{} {}",
    ];
    for body in deep.iter().map(Vec::as_slice).chain(other) {
        for path in ["/v1/completions", "/v1/chat/completions"] {
            let reply = scene.client().send("POST", path, &[JSON], body);
            let shown = String::from_utf8_lossy(&body[..body.len().min(20)]).into_owned();
            assert_eq!(reply.status, 400, "{shown}: {}", reply.text());
            reply.error();
        }
    }
}

#[test]
fn paths_lead_nowhere_else() {
    let scene = Scene::new();
    for path in [
        "/nothing",
        "/..",
        "/page/",
        "/page/..%2f..%2fetc%2fpasswd",
        "/page/../../etc/passwd",
        "//etc/passwd",
        "/v1",
        "/v1/",
        "/v1/completions/",
        "/V1/models",
        "/%00",
        "/page/chat.js%00.html",
        "/v1/models/other",
        "/v1/models/../../x",
        "/v1/%2e%2e/health",
    ] {
        let reply = scene.get(path);
        assert_eq!(reply.status, 404, "{path}");
        reply.error();
    }
    for (method, path) in [
        ("GET", "/v1/completions"),
        ("DELETE", "/v1/models"),
        ("PUT", "/v1/chat/completions"),
        ("POST", "/health"),
    ] {
        let reply = scene.client().send(method, path, &[], b"");
        assert_eq!(reply.status, 405, "{method} {path}");
        assert!(reply.header("allow").is_some());
        reply.error();
    }
    for (method, path) in [("TRACE", "/"), ("PROPFIND", "/v1/models"), ("CONNECT", "localhost:80")] {
        let status = scene.client().send(method, path, &[], b"").status;
        assert!((400..500).contains(&status), "{method}: {status}");
    }
    let reply = scene.get("/v1/models/tiny");
    assert_eq!(reply.json()["id"], "tiny");
    assert_eq!(scene.get("/v1/models/runs/tiny").status, 200);
}

#[test]
fn heads_are_of_a_size() {
    let scene = Scene::new();
    let long = "x".repeat(200_000);
    for headers in [vec![("X-Long", long.as_str())], vec![("X-Many", "y"); 2000]] {
        let mut client = scene.client();
        let mut head = "GET /health HTTP/1.1\r\nHost: localhost\r\n".to_owned();
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        // The server may close before all of it was sent.
        let _ = std::io::Write::write_all(&mut client.stream, format!("{head}\r\n").as_bytes());
        let mut all = Vec::new();
        let _ = std::io::Read::read_to_end(&mut client.stream, &mut all);
        assert!(all.is_empty() || all.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&all));
    }
    for rubbish in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = scene.client();
        client.write(rubbish);
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut all = Vec::new();
        let _ = std::io::Read::read_to_end(&mut client.stream, &mut all);
        assert!(all.is_empty() || all.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&all));
    }
    assert_eq!(scene.get("/health").status, 200);
}
