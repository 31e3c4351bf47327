//! SIP over WebSocket: a client written out by hand, as browsers do it, in the clear and through `openssl s_client`.
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use support::{Gateway, Process, Scratch, free_udp_port, repository};

const CALLER: &str = "127.0.0.2";
const CALLEE: &str = "127.0.0.3";
const SIP: &str = "127.0.0.1";

fn free_tcp_port() -> u16 {
    TcpListener::bind((SIP, 0)).expect("a free port").local_addr().expect("its address").port()
}

struct Bench {
    scratch: Scratch,
    gateway: Gateway,
    ws: u16,
    wss: u16,
    callee_port: u16,
}

impl Bench {
    fn new() -> Self {
        let scratch = Scratch::new();
        let certificate = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=gateway \
            -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out certificate.pem";
        let made = Command::new("sh").args(["-ec", certificate]).current_dir(scratch.path()).output().expect("sh runs");
        assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
        let (udp, ws, wss, http) = (free_udp_port(SIP), free_tcp_port(), free_tcp_port(), free_tcp_port());
        let callee_port = free_udp_port(CALLEE);
        let http = format!("127.0.0.1:{http}");
        let configuration = format!(
            r#"
dpdk: {{ huge_pages: off, memory_mib: 64, packet_buffers: 4096, file_prefix: "{prefix}" }}
ports:
  - {{ name: media, device: net_null0, addresses: [10.77.9.1/24] }}
workers: {{ cores: [1], share_cores: true }}
sip:
  listen:
    - {{ name: udp, address: "{SIP}:{udp}" }}
    - {{ name: ws, address: "{SIP}:{ws}", transport: ws }}
    - name: wss
      address: "{SIP}:{wss}"
      transport: wss
      tls: {{ certificate: "{folder}/certificate.pem", key: "{folder}/key.pem", server_ca: "{folder}/certificate.pem" }}
peers:
  - {{ name: caller, address: "{CALLER}", codecs: [PCMU] }}
  - {{ name: callee, address: "{CALLEE}:{callee_port}", codecs: [PCMA] }}
routes:
  - {{ from: caller, prefix: "8", peer: callee }}
records: {{ directory: "{folder}/records" }}
http: {{ listen: "{http}" }}
shutdown: {{ drain_timeout_s: 1 }}
"#,
            prefix = scratch.unique(),
            folder = scratch.path().display(),
        );
        let gateway = Gateway::start(&scratch, &configuration, &http, None);
        Self { scratch, gateway, ws, wss, callee_port }
    }

    fn connect(&self) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let from: SocketAddr = format!("{CALLER}:0").parse().expect("an address");
        socket.bind(&from.into()).expect("the caller's address");
        let to: SocketAddr = format!("{SIP}:{}", self.ws).parse().expect("an address");
        socket.connect(&to.into()).expect("the gateway listens");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream
    }
}

/// A WebSocket client (RFC 6455) over anything that carries octets.
struct WebSocket<S>(S);

impl<S: Read + Write> WebSocket<S> {
    /// Asks for `subprotocol`; the head of the answer.
    fn shake_hands(mut stream: S, subprotocol: &str) -> (Self, String) {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: gateway\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: {subprotocol}\r\nOrigin: https://phone.example.com\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("written");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        (Self(stream), String::from_utf8(head).expect("UTF-8"))
    }

    fn send(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            short @ 0..=125 => frame.push(0x80 | short as u8),
            long => {
                frame.push(0x80 | 126);
                frame.extend((long as u16).to_be_bytes());
            }
        }
        let mask = [0x12, 0x34, 0x56, 0x78];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(octet, mask)| octet ^ mask));
        self.0.write_all(&frame).expect("written");
    }

    fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).expect("a frame");
        let mut length = u64::from(head[1]);
        if length == 126 {
            let mut extended = [0; 2];
            self.0.read_exact(&mut extended).expect("a length");
            length = u16::from_be_bytes(extended).into();
        }
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).expect("a payload");
        (head[0] & 0x0f, payload)
    }

    /// The next SIP message that starts so; others are passed over.
    fn expect(&mut self, start: &str) -> String {
        loop {
            let (opcode, payload) = self.receive();
            assert_eq!(opcode, 1, "a text frame");
            let message = String::from_utf8(payload).expect("UTF-8");
            if message.starts_with(start) {
                return message;
            }
        }
    }
}

/// `openssl s_client` as a stream.
struct SClient(Child);

impl SClient {
    fn connect(bench: &Bench) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-verify_return_error", "-CAfile", "certificate.pem", "-connect"]);
        command.arg(format!("{SIP}:{}", bench.wss)).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        Self(command.current_dir(bench.scratch.path()).spawn().expect("openssl runs"))
    }
}

impl Read for SClient {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.stdout.as_mut().expect("a pipe").read(buffer)
    }
}

impl Write for SClient {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.stdin.as_mut().expect("a pipe").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.stdin.as_mut().expect("a pipe").flush()
    }
}

impl Drop for SClient {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn request(method: &str, transport: &str, to: &str, cseq: u32, more: &str, body: &str) -> String {
    format!(
        "{method} sip:8100@gateway.example.com SIP/2.0\r\nVia: SIP/2.0/{transport} df7jal23ls0d.invalid;branch=z9hG4bK{method}{cseq}\r\n\
         From: <sip:browser@gateway.example.com>;tag=b\r\nTo: {to}\r\nCall-ID: from-a-browser\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:browser@df7jal23ls0d.invalid;transport=ws>\r\nMax-Forwards: 70\r\n{more}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const TO: &str = "<sip:8100@gateway.example.com>";

#[test]
fn a_browser_calls_over_its_websocket_and_is_called_back_on_it() {
    let bench = Bench::new();
    let file = repository().join("crates/gateway/tests/sipp/callee_hangs_up.xml");
    let mut sipp = Command::new("sipp");
    sipp.arg("-sf").arg(file).args(["-i", CALLEE, "-mi", CALLEE, "-p", &bench.callee_port.to_string()]);
    sipp.args(["-m", "1", "-nostdin", "-timeout", "60s", "-timeout_error"]).current_dir(bench.scratch.path());
    let mut callee = Process::spawn("callee", &mut sipp, bench.scratch.path().join("callee.log"));
    let bound = format!("{:04X} ", bench.callee_port);
    while !std::fs::read_to_string("/proc/net/udp").expect("/proc/net/udp").contains(&bound) {
        std::thread::sleep(Duration::from_millis(10));
    }

    let (mut browser, answer) = WebSocket::shake_hands(bench.connect(), "sip");
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.to_lowercase().contains("\r\nsec-websocket-protocol: sip\r\n"), "{answer}");
    let sdp = "v=0\r\no=- 1 1 IN IP4 10.0.0.20\r\ns=-\r\nc=IN IP4 10.0.0.20\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\n";
    browser.send(1, request("INVITE", "WS", TO, 1, "Content-Type: application/sdp\r\n", sdp).as_bytes());
    let ok = browser.expect("SIP/2.0 200 ");
    assert!(ok.contains(&format!("Contact: <sip:{SIP}:{};transport=ws>\r\n", bench.ws)), "{ok}");
    let to = ok.lines().find_map(|line| line.strip_prefix("To: ")).expect("a To");
    browser.send(1, request("ACK", "WS", to, 1, "", "").as_bytes());
    // The callee hangs up: the BYE can only come by the connection that the browser opened.
    let bye = browser.expect("BYE sip:browser@df7jal23ls0d.invalid;transport=ws ");
    let copied = |name: &str| bye.lines().find(|line| line.starts_with(name)).expect("a header").to_owned();
    let headers: Vec<_> = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].map(copied).into();
    let answer = format!("SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n", headers.join("\r\n"));
    browser.send(1, answer.as_bytes());
    callee.expect_success(30);
    let record = bench.gateway.records(1).pop().expect("a record");
    assert_eq!((record["status"].as_u64(), record["ended_by"].as_str()), (Some(200), Some("callee")), "{record}");
    bench.gateway.assert_idle();
    bench.gateway.stop();
}

#[test]
fn websocket_over_tls_is_spoken_and_its_pings_are_answered() {
    let bench = Bench::new();
    let (mut browser, answer) = WebSocket::shake_hands(SClient::connect(&bench), "chat, sip");
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    // A binary frame is as good as one of text (RFC 7118 §5).
    browser.send(2, request("OPTIONS", "WSS", TO, 1, "", "").as_bytes());
    browser.expect("SIP/2.0 200 OK");
    browser.send(9, b"are you there");
    assert_eq!(browser.receive(), (10, b"are you there".to_vec()));
    bench.gateway.stop();
}

#[test]
fn who_does_not_speak_sip_over_websocket_is_refused() {
    let bench = Bench::new();
    let (_, answer) = WebSocket::shake_hands(bench.connect(), "chat");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let mut stream = bench.connect();
    stream.write_all(b"OPTIONS sip:a SIP/2.0\r\n\r\n").expect("written");
    let mut rest = Vec::new();
    // Whatever is said of it, the connection ends.
    let _ = stream.read_to_end(&mut rest);
    bench.gateway.stop();
}
