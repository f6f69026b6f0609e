// SPDX-License-Identifier: Apache-2.0

package h2

import (
	"time"

	"golang.org/x/net/http2"
)

// malformed resets a stream for a fault of the peer's. That costs as a reset by the peer does: it is one by other means.
func (c *Conn) malformed(id uint32, code http2.ErrCode) error {
	c.mu.Lock()
	s := c.streams[id]
	c.putReset(id, code)
	if s != nil {
		c.remove(s)
	} else if c.opts.Accept != nil && id%2 == 1 {
		c.last = max(c.last, id)
	}
	c.unlock(&c.turn)
	if s != nil && s.h != nil {
		s.h.Closed(&c.turn, http2.StreamError{StreamID: id, Code: code})
	}
	return c.wasted()
}

// wasted pays for a stream that was begun for nothing.
func (c *Conn) wasted() error {
	c.mu.Lock()
	c.resets.earn(c.useful)
	c.useful = 0
	c.mu.Unlock()
	if !c.resets.spend(1) {
		return fault(http2.ErrCodeEnhanceYourCalm, "too many streams are begun and given up")
	}
	return nil
}

func (c *Conn) takeReset(f *http2.RSTStreamFrame) error {
	c.mu.Lock()
	s := c.streams[f.StreamID]
	unborn := c.unborn(f.StreamID)
	if s != nil {
		c.remove(s)
	}
	c.unlock(&c.turn)
	switch {
	case unborn:
		return fault(http2.ErrCodeProtocol, "RST_STREAM on a stream that was never opened")
	case s == nil:
		return c.idle(1)
	}
	err := error(http2.StreamError{StreamID: f.StreamID, Code: f.ErrCode})
	if f.ErrCode == http2.ErrCodeRefusedStream && !s.gotHead {
		err = ErrRefused
	}
	s.h.Closed(&c.turn, err)
	if c.opts.Accept == nil {
		return nil // a server may refuse what it likes
	}
	return c.wasted()
}

func (c *Conn) takePing(f *http2.PingFrame) error {
	c.mu.Lock()
	switch {
	case !f.IsAck():
		c.putPing(true, f.Data)
	case f.Data == leavePing && c.leaving == 1:
		c.leaving = 2
		c.putGoAway(c.last, http2.ErrCodeNo)
		c.left()
	}
	c.unlock(&c.turn)
	return c.idle(1)
}

func (c *Conn) takeGoAway(f *http2.GoAwayFrame) error {
	c.mu.Lock()
	c.refuses = true
	var lost []*Stream
	if c.opts.Accept == nil {
		for id, s := range c.streams {
			if id > f.LastStreamID {
				lost = append(lost, s)
			}
		}
	}
	for _, s := range lost {
		c.remove(s)
	}
	c.left()
	c.unlock(&c.turn)
	for _, s := range lost {
		s.h.Closed(&c.turn, ErrRefused)
	}
	return c.idle(1)
}

func (c *Conn) takeWindow(f *http2.WindowUpdateFrame) error {
	n := int64(f.Increment)
	c.mu.Lock()
	// A peer that reads may say so twice for each frame, for the stream and for the connection.
	c.noise.earn(2 * c.sentData)
	c.sentData = 0
	s := c.streams[f.StreamID]
	switch {
	case f.StreamID == 0:
		if c.sendWindow += n; c.sendWindow > maxWindow {
			c.mu.Unlock()
			return fault(http2.ErrCodeFlowControl, "the connection's window is too large")
		}
	case s == nil:
		unborn := c.unborn(f.StreamID)
		c.mu.Unlock()
		if unborn {
			return fault(http2.ErrCodeProtocol, "WINDOW_UPDATE on a stream that was never opened")
		}
		return c.idle(1)
	default:
		if s.sendWindow += n; s.sendWindow > maxWindow {
			c.mu.Unlock()
			return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeFlowControl}
		}
		if s.first < len(s.queue) {
			c.wait(s)
		}
	}
	c.flow()
	return c.idle(1)
}

// flow sends what has room now. It is called by the reader with the lock and gives it up.
func (c *Conn) flow() {
	c.gone = c.drain(c.gone[:0])
	c.unlock(&c.turn)
	tell(&c.turn, c.gone)
	clear(c.gone)
}

func (c *Conn) takeSettings(f *http2.SettingsFrame) error {
	if !c.said {
		c.said = true
		if f.IsAck() {
			return fault(http2.ErrCodeProtocol, "the first SETTINGS is an acknowledgement")
		}
		_ = c.nc.SetReadDeadline(time.Time{}) // fails on a closed connection only
		if c.opts.Accept == nil {
			c.mu.Lock()
			c.open = MaxStreams
			c.mu.Unlock()
		}
		defer close(c.met)
	}
	if f.IsAck() {
		return c.idle(1)
	}
	window := int64(-1)
	c.mu.Lock()
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		switch s.ID {
		case http2.SettingEnablePush:
			if c.opts.Accept == nil && s.Val != 0 {
				return fault(http2.ErrCodeProtocol, "nobody asked for a push")
			}
		case http2.SettingInitialWindowSize:
			window = int64(s.Val)
		case http2.SettingMaxConcurrentStreams:
			c.open = int(min(s.Val, MaxStreams))
		case http2.SettingHeaderTableSize:
			c.enc.SetMaxDynamicTableSizeLimit(min(s.Val, tableSize))
		}
		return nil
	})
	if err == nil && window >= 0 {
		err = c.moveWindows(window)
	}
	if err != nil {
		c.mu.Unlock()
		return err
	}
	c.putFrame(http2.FrameSettings, http2.FlagSettingsAck, 0, 0)
	c.flow()
	return c.idle(1 + f.NumSettings()/8)
}

// moveWindows applies a new initial window to the streams that there are (RFC 9113 6.9.2).
func (c *Conn) moveWindows(to int64) error {
	by := to - c.startWindow
	c.startWindow = to
	if by == 0 {
		return nil
	}
	for _, s := range c.streams {
		if s.sendWindow += by; s.sendWindow > maxWindow {
			return fault(http2.ErrCodeFlowControl, "a stream's window is too large")
		}
		if s.first < len(s.queue) {
			c.wait(s)
		}
	}
	return nil
}
