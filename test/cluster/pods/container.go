// SPDX-License-Identifier: Apache-2.0

package pods

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/fieldpath"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"
)

// container is one process of a pod, started again where it ends.
type container struct {
	u    *run
	spec *corev1.Container

	// Guarded by the run's lock.
	status  corev1.ContainerStatus
	final   bool // it will not run again
	process int  // 0: none
}

func (u *run) container(spec *corev1.Container) *container {
	c := &container{u: u, spec: spec}
	c.status = corev1.ContainerStatus{Name: spec.Name, Image: spec.Image, State: waiting("ContainerCreating", "")}
	return c
}

func waiting(why, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: why, Message: message}}
}

// The pauses before a process that has ended starts again, doubled from the first to the last, and how long it must run to start afresh.
const firstPause, lastPause, healthy = 100 * time.Millisecond, 10 * time.Second, 10 * time.Second

// keep runs the container until it is not to run again or the pod ends.
func (c *container) keep() {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		began := time.Now()
		code, err := c.once()
		again := c.u.ctx.Err() == nil && c.again(code)
		c.ended(code, err, again)
		if !again {
			return
		}
		if time.Since(began) > healthy {
			pause = firstPause
		}
		select {
		case <-c.u.ctx.Done():
			c.set(func() { c.final = true })
			return
		case <-time.After(pause):
		}
	}
}

// set changes the container's state, and has it told.
func (c *container) set(change func()) {
	c.u.mu.Lock()
	change()
	c.u.mu.Unlock()
	c.u.changed()
}

// again says whether a process that ended with a code is to be started again.
func (c *container) again(code int) bool {
	policy := c.u.pod.Spec.RestartPolicy
	switch {
	case sidecar(c.spec):
		return true
	case !c.main() && code == 0:
		return false // an init container has done its work
	case policy == corev1.RestartPolicyAlways:
		return true
	}
	return policy == corev1.RestartPolicyOnFailure && code != 0
}

func (c *container) main() bool { return slices.Contains(c.u.main, c) }

func (c *container) succeeded() bool {
	c.u.mu.Lock()
	defer c.u.mu.Unlock()
	t := c.status.State.Terminated
	return t != nil && t.ExitCode == 0
}

// ended notes how a run of the process ended.
func (c *container) ended(code int, err error, again bool) {
	c.set(func() {
		s := &c.status
		t := &corev1.ContainerStateTerminated{ExitCode: int32(code), FinishedAt: metav1.Now(), Reason: "Completed"}
		if run := s.State.Running; run != nil {
			t.StartedAt = run.StartedAt
		}
		if code != 0 {
			t.Reason = "Error"
		}
		if err != nil {
			t.Reason, t.Message = "StartError", err.Error()
		}
		s.Ready, s.Started, s.State, c.final = false, new(bool), corev1.ContainerState{Terminated: t}, !again
		if again {
			s.LastTerminationState, s.State = s.State, waiting("CrashLoopBackOff", t.Message)
			s.RestartCount++
		}
	})
}

// once runs the process to its end; an error is why there was none.
func (c *container) once() (code int, err error) {
	if len(c.spec.Command) == 0 {
		return c.idle()
	}
	env, vars, err := c.environment()
	if err != nil {
		return 128, err
	}
	var argv []string
	for _, a := range slices.Concat(c.spec.Command, c.spec.Args) {
		argv = append(argv, expansion.Expand(a, expansion.MappingFuncFor(vars)))
	}
	log, err := os.OpenFile(c.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 128, err
	}
	defer log.Close()
	cmd := exec.CommandContext(c.u.ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = env, c.spec.WorkingDir, log, log, attributes()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	if err := c.start(cmd); err != nil {
		return 128, err
	}
	ctx, stop := context.WithCancel(c.u.ctx)
	defer stop()
	go c.probe(ctx, env)
	err = cmd.Wait()
	c.set(func() { c.process = 0 })
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // children that it left
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && c.u.ctx.Err() == nil {
		return 128, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// start starts the process unless the pod has ended: whoever kills it finds it.
func (c *container) start(cmd *exec.Cmd) (err error) {
	c.set(func() {
		if err = cmd.Start(); err != nil {
			return
		}
		c.process = cmd.Process.Pid
		started := true
		c.status.Started, c.status.ContainerID = &started, fmt.Sprintf("process://%d", c.process)
		c.status.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
	})
	return err
}

// kill kills the process and its children. The caller holds the lock.
func (c *container) kill() {
	if c.process != 0 {
		_ = syscall.Kill(-c.process, syscall.SIGKILL) // if it has ended, all is well
	}
}

// idle stands for a container whose image would say what it runs. As an init container it has done that at once.
func (c *container) idle() (int, error) {
	c.set(func() {
		started := true
		c.status.Started, c.status.Ready = &started, true
		c.status.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
	})
	if c.main() || sidecar(c.spec) {
		<-c.u.ctx.Done()
	}
	return 0, nil
}

// log is the file of what the container writes.
func (c *container) log() string {
	return logFile(c.u.r.Dir, c.u.pod.Namespace, c.u.pod.Name, c.spec.Name)
}

func logFile(dir, namespace, pod, container string) string {
	return filepath.Join(dir, namespace+"_"+pod+"_"+container+".log") // none of them may have a _
}

// environment is that of the container's process, and the variables that its command may name.
func (c *container) environment() (env []string, vars map[string]string, err error) {
	p := c.u.pod
	vars = map[string]string{"POD_IP": c.u.ip.String(), "BIND_IP": Dial(c.u.ip).String(), "POD_NAME": p.Name, "POD_NAMESPACE": p.Namespace, "HOSTNAME": p.Name}
	for _, e := range c.spec.Env {
		v := expansion.Expand(e.Value, expansion.MappingFuncFor(vars))
		if e.ValueFrom != nil {
			if v, err = c.value(e.ValueFrom); err != nil {
				return nil, nil, fmt.Errorf("variable %s: %w", e.Name, err)
			}
		}
		vars[e.Name] = v
	}
	env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	for k, v := range vars {
		env = append(env, k+"="+v)
	}
	return env, vars, nil
}

func (c *container) value(from *corev1.EnvVarSource) (string, error) {
	if from.FieldRef == nil {
		return "", errors.New("only fieldRef is known here")
	}
	switch from.FieldRef.FieldPath {
	case "status.podIP", "status.podIPs":
		return c.u.ip.String(), nil
	case "status.hostIP", "status.hostIPs":
		return "127.0.0.1", nil
	case "spec.nodeName":
		return c.u.pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return c.u.pod.Spec.ServiceAccountName, nil
	}
	return fieldpath.ExtractFieldPathAsString(c.u.pod, from.FieldRef.FieldPath)
}
