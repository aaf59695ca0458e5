//! The command `tunstack`; all of it is in [`tunstack::daemon`].

fn main() -> std::process::ExitCode {
    tunstack::daemon::main()
}
