// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Notes are lines of news, told once each, above the table.
type Notes struct {
	mu    sync.Mutex
	lines []string
}

// Add tells news.
func (n *Notes) Add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func (n *Notes) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.lines
	n.lines = nil
	return out
}

// Write makes notes of what is logged: on a terminal, a log beside the table would be drawn over.
func (n *Notes) Write(p []byte) (int, error) {
	n.Add("%s  %s", time.Now().Format(time.TimeOnly), strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

// logger logs into the notes what another would log elsewhere.
func (n *Notes) logger(like *slog.Logger) *slog.Logger {
	level := slog.LevelWarn
	if like != nil && like.Enabled(context.Background(), slog.LevelDebug) {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(n, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}
