//! nginx with two workers and sendfile, under wrk.

use std::time::Duration;

use super::{content, lab, wait_for};

const CONFIG: &str = "worker_processes 2; daemon off; pid nginx.pid; error_log stderr warn;
events { worker_connections 1024; }
http { sendfile on; tcp_nopush on; access_log off; client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;
  uwsgi_temp_path tmp; scgi_temp_path tmp;
  server { listen 80; listen [::]:80; root .; } }
";

#[test]
fn nginx_serves_wrk_with_a_hundred_connections() {
    let lab = lab("nginx -p . -e stderr -c nginx.conf");
    lab.file("nginx.conf", CONFIG).file("page.html", content(10_000)).file("big", content(20_000_000));
    let script = format!(
        "{}wrk -t 2 -c 100 -d 2s http://server/page.html; curl -s http://server/big | cmp - big && echo same",
        wait_for(80)
    );
    let said = lab.on_within("client", &script, Duration::from_secs(90)).ok();
    assert!(said.contains("100 connections"), "{said}");
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    let rate =
        said.lines().find_map(|l| l.strip_prefix("Requests/sec:")).expect("a rate").trim().parse::<f64>();
    assert!(rate.expect("a number") > 0.0, "{said}");
    assert!(said.ends_with("same\n"), "{said}");
}
