package harness

import "syscall"

// Pause stops the process where it is, as a machine that hangs does; Resume lets it go on as if nothing had happened.
func (b *Broker) Pause() {
	b.t.Helper()
	if err := b.proc.Signal(syscall.SIGSTOP); err != nil {
		b.t.Fatal(err)
	}
}

// Resume ends a Pause.
func (b *Broker) Resume() {
	b.t.Helper()
	if err := b.proc.Signal(syscall.SIGCONT); err != nil {
		b.t.Fatal(err)
	}
}
