//! See `loadtest/README.md`.

fn main() -> std::process::ExitCode {
    loadtest::main()
}
