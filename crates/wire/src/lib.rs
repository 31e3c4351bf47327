//! Checked views over Ethernet, ARP, IP, ICMP, UDP and RTP bytes.
