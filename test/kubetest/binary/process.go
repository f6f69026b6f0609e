// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Process is a cluster that runs. It ends with us, however we do.
type Process struct {
	cmd    *exec.Cmd
	tie    io.Closer // its standard input
	stderr bytes.Buffer
	ended  chan struct{}
}

// Start runs the command [Cluster] that was built, and returns when it says that it is ready.
func Start(path string, args ...string) (*Process, error) {
	p := &Process{cmd: exec.Command(path, append(args, "-tied")...), ended: make(chan struct{})}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for us; we tell it in our own time
	p.cmd.Stderr = &p.stderr
	stdout, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	p.cmd.Stdout = out
	if p.tie, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	err = p.cmd.Start()
	out.Close() // the process holds the other
	if err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // what it has to say about its end it says on stderr
		close(p.ended)
	}()
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		<-p.ended
		return nil, fmt.Errorf("the cluster does not start: %v: %s", p.cmd.ProcessState, &p.stderr)
	}
	return p, nil
}

// Ended is closed when the process has ended, of itself or by End.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// slow is when a cluster that is told to end has failed to.
const slow = time.Minute

// End ends the process and returns when it has. An error is an end that was not clean.
func (p *Process) End() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping the cluster: %w", err)
	}
	select {
	case <-p.ended:
	case <-time.After(slow):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	_ = p.tie.Close()
	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("the cluster ended badly (%v): %s", p.cmd.ProcessState, &p.stderr)
	}
	return nil
}
