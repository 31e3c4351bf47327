//! As much HTTP/1.1 as the callers speak: requests with a length, connections that stay.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::time::Instant;

use percent_encoding::percent_decode_str;

use crate::{Call, Simulator};

/// Nothing that a test sends is longer.
const MAX_BODY: usize = 1 << 20;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn ok(body: String) -> Self {
        Self { status: 200, body }
    }
}

struct Request {
    method: String,
    path: String,
    token: Option<String>,
    /// What it was signed for.
    service: Option<String>,
    body: String,
}

pub(crate) fn serve(listener: &TcpListener, simulator: &Simulator) {
    for stream in listener.incoming().flatten() {
        let simulator = simulator.clone();
        std::thread::spawn(move || {
            // A connection that breaks is one that is closed.
            let _ = converse(&stream, &simulator);
        });
    }
}

fn converse(stream: &TcpStream, simulator: &Simulator) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let from = stream.peer_addr()?.ip();
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader)? {
        let Request { method, path, token, service, body } = request;
        let answer = match simulator.metadata(from, &method, &path, token.as_deref()) {
            Some(answer) => Some(answer),
            None => match service {
                Some(service) => simulator.act(call(from, service, &body)),
                None => Some(Answer { status: 401, body: "<Code>MissingAuthenticationToken</Code>".to_owned() }),
            },
        };
        let Some(Answer { status, body }) = answer else { return Ok(()) };
        let mut writer = stream;
        let head =
            format!("HTTP/1.1 {status} Simulated\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n\r\n", body.len());
        writer.write_all((head + &body).as_bytes())?;
    }
    Ok(())
}

fn read(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let mut request = Request { method: word(), path: word(), token: None, service: None, body: String::new() };
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or(0),
            "x-aws-ec2-metadata-token" => request.token = Some(value.to_owned()),
            "authorization" => request.service = service_of(value),
            _ => {}
        }
    }
    reader.take(length.min(MAX_BODY) as u64).read_to_string(&mut request.body)?;
    Ok(Some(request))
}

/// The service in the scope of a signature: key, date, region, service, and a word.
fn service_of(authorization: &str) -> Option<String> {
    let scope = authorization.strip_prefix("AWS4-HMAC-SHA256 Credential=")?.split(',').next()?;
    scope.split('/').nth(3).map(str::to_owned)
}

fn call(from: IpAddr, service: String, body: &str) -> Call {
    let at = Instant::now();
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    let (mut action, mut parameters) = (String::new(), Vec::new());
    for (name, value) in pairs {
        match name {
            "Action" => action = decode(value),
            "Version" => {}
            _ => parameters.push((decode(name), decode(value))),
        }
    }
    Call { from, at, service, action, parameters }
}
