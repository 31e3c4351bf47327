//! `tandem-aws`: does what the gateway asks of AWS. See the page of `tandem-aws-protocol` for the lines it speaks.

use clap::Parser;

/// Moves a gateway's addresses on EC2, and tells Route 53, Auto Scaling and CloudWatch of it. The gateway starts it where its
/// configuration has `aws.enabled`, and speaks to it in lines of JSON on standard input and output.
#[derive(Parser)]
#[command(version)]
struct Arguments {}

fn main() -> anyhow::Result<()> {
    let Arguments {} = Arguments::parse();
    tandem_aws::serve(std::io::stdin().lock(), std::io::stdout())
}
