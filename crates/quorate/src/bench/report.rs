//! What a run has shown, for people and for programs.

use std::fmt::Write;
use std::time::Duration;

use super::args::Common;
use super::run::Tally;
use super::servers::Usage;

/// How much of what was read was there.
pub(super) struct Found {
    /// Keys of the key space that the store had before the run.
    pub(super) keys: u64,
    /// Size of the key space.
    pub(super) of: u64,
    /// Answers that held a record.
    pub(super) answers: u64,
}

/// A run.
pub(super) struct Report {
    pub(super) op: &'static str,
    pub(super) common: Common,
    pub(super) connections: u32,
    pub(super) endpoints: Vec<String>,
    pub(super) elapsed: Duration,
    pub(super) tally: Tally,
    pub(super) found: Option<Found>,
    pub(super) own_cpu_seconds: f64,
    pub(super) servers: Vec<Usage>,
    /// Why the run ended early.
    pub(super) cut_short: Option<String>,
}

/// The quantiles that are shown.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

impl Report {
    fn succeeded(&self) -> u64 {
        self.tally.latency.len()
    }

    fn errors(&self) -> u64 {
        self.tally.errors.values().sum()
    }

    fn per_second(&self) -> f64 {
        self.succeeded() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    fn micros_per_op(&self, seconds: f64) -> f64 {
        seconds * 1e6 / self.succeeded().max(1) as f64
    }

    fn server_cpu_seconds(&self) -> Option<f64> {
        let seconds = self.servers.iter().map(|server| server.cpu_seconds).collect::<Option<Vec<f64>>>()?;
        (!seconds.is_empty()).then(|| seconds.iter().sum())
    }

    /// Whether the run went to its end and something succeeded.
    pub(super) fn complete(&self) -> bool {
        self.cut_short.is_none() && self.succeeded() > 0
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        let common = &self.common;
        let _ = writeln!(
            out,
            "{}: {} calls, {} clients on {} connections to {}, {} keys of {} bytes, values of {} bytes",
            self.op,
            common.total,
            common.clients,
            self.connections,
            self.endpoints.join(" "),
            common.key_space,
            common.key_bytes,
            common.value_bytes
        );
        let _ = writeln!(
            out,
            "  throughput  {:.0} per second ({:.2} s)",
            self.per_second(),
            self.elapsed.as_secs_f64()
        );
        let latency = &self.tally.latency;
        let _ = write!(out, "  latency ms ");
        for (name, quantile) in QUANTILES {
            let _ = write!(out, " {name} {:.3} ", latency.value_at_quantile(quantile) as f64 / 1000.0);
        }
        let _ = writeln!(out, " max {:.3}", latency.max() as f64 / 1000.0);
        if let Some(Found { keys, of, answers }) = &self.found {
            let _ =
                writeln!(out, "  found       {answers} answers held a record ({keys} of {of} keys exist)");
        }
        let _ = writeln!(out, "  errors      {}", self.errors());
        for (text, count) in &self.tally.errors {
            let _ = writeln!(out, "    {count} x {text}");
        }
        let own = self.micros_per_op(self.own_cpu_seconds);
        let _ = writeln!(
            out,
            "  this tool   {:.2} s of processor time, {own:.1} us per call",
            self.own_cpu_seconds
        );
        self.text_of_servers(&mut out);
        if let Some(why) = &self.cut_short {
            let _ = writeln!(out, "  CUT SHORT   {why}");
        }
        out
    }

    fn text_of_servers(&self, out: &mut String) {
        if self.servers.is_empty() {
            let _ = writeln!(out, "  servers     no local process found (see --pids)");
            return;
        }
        if let Some(seconds) = self.server_cpu_seconds() {
            let each = self.micros_per_op(seconds);
            let _ = writeln!(out, "  servers     {seconds:.2} s of processor time, {each:.1} us per call");
        }
        for server in &self.servers {
            let cpu = server.cpu_seconds.map_or("ended".into(), |seconds| format!("{seconds:.2} s"));
            let peak = server.peak_bytes.map_or("?".into(), |bytes| format!("{:.1} MB", bytes as f64 / 1e6));
            let _ = writeln!(out, "    process {}: {cpu}, peak memory {peak}", server.pid);
        }
    }

    /// For programs: one line, one object. Latencies in microseconds.
    pub(super) fn json(&self) -> String {
        let common = &self.common;
        let list = |items: Vec<String>| items.join(",");
        let quantiles = list(
            QUANTILES
                .iter()
                .map(|(name, quantile)| {
                    format!("\"{name}\":{}", self.tally.latency.value_at_quantile(*quantile))
                })
                .chain([format!("\"max\":{}", self.tally.latency.max())])
                .collect(),
        );
        let errors =
            list(self.tally.errors.iter().map(|(text, count)| format!("{}:{count}", quoted(text))).collect());
        let servers = list(
            self.servers
                .iter()
                .map(|server| {
                    let cpu = server.cpu_seconds.map_or("null".into(), |seconds| format!("{seconds:.2}"));
                    let peak = server.peak_bytes.map_or("null".into(), |bytes| bytes.to_string());
                    format!("{{\"pid\":{},\"cpu_seconds\":{cpu},\"peak_memory_bytes\":{peak}}}", server.pid)
                })
                .collect(),
        );
        let found = self.found.as_ref().map_or("null".into(), |found| found.answers.to_string());
        let server_micros =
            self.server_cpu_seconds().map_or("null".into(), |s| format!("{:.2}", self.micros_per_op(s)));
        format!(
            "{{\"op\":{op},\"clients\":{clients},\"connections\":{connections},\"total\":{total},\
             \"value_bytes\":{value_bytes},\"key_space\":{key_space},\"endpoints\":[{endpoints}],\
             \"seconds\":{seconds:.6},\"succeeded\":{succeeded},\"per_second\":{per_second:.1},\
             \"latency_us\":{{{quantiles}}},\"found\":{found},\"errors\":{{{errors}}},\
             \"tool_cpu_us_per_op\":{own:.2},\"server_cpu_us_per_op\":{server_micros},\
             \"servers\":[{servers}],\"cut_short\":{cut_short}}}\n",
            op = quoted(self.op),
            clients = common.clients,
            connections = self.connections,
            total = common.total,
            value_bytes = common.value_bytes,
            key_space = common.key_space,
            endpoints = list(self.endpoints.iter().map(|endpoint| quoted(endpoint)).collect()),
            seconds = self.elapsed.as_secs_f64(),
            succeeded = self.succeeded(),
            per_second = self.per_second(),
            own = self.micros_per_op(self.own_cpu_seconds),
            cut_short = self.cut_short.as_deref().map_or("null".into(), quoted),
        )
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_strings_are_escaped() {
        assert_eq!(quoted("a\"b\\c\nd\u{e9}"), "\"a\\\"b\\\\c\\u000ad\u{e9}\"");
    }
}
