package certs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of a Watcher. The zero value of a field means its default.
type Options struct {
	Logger     *slog.Logger          // default: discard
	Registerer prometheus.Registerer // default: metrics are not registered
	Every      time.Duration         // between two looks at the files; default 5 s
	Now        func() time.Time      // default: time.Now
}

// Watcher looks at the files of all its sources again and again.
type Watcher struct {
	opts    Options
	metrics *metrics

	mu      sync.Mutex // one look at a time
	sources []*Source
}

// NewWatcher makes a Watcher of no files.
func NewWatcher(opts Options) *Watcher {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Every == 0 {
		opts.Every = 5 * time.Second
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Watcher{opts: opts, metrics: newMetrics(opts.Registerer)}
}

// Open reads files, which must be usable, and has them looked at from now on. A certificate that has expired is: some clients do not
// mind, and the broker has other listeners. use says what they are for, in metrics and the log;
// it is one of few words.
func (w *Watcher) Open(use string, files Files) (*Source, error) {
	raw, err := files.read()
	if err != nil {
		return nil, fmt.Errorf("read files of TLS for %s: %w", use, err)
	}
	s := &Source{use: use, files: files}
	m, err := files.load(raw)
	if err != nil {
		return nil, fmt.Errorf("TLS for %s: %w", use, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.use(s, m)
	w.sources = append(w.sources, s)
	return s, nil
}

func (w *Watcher) use(s *Source, m *material) {
	s.current.Store(m)
	w.metrics.expiry.WithLabelValues(s.use).Set(float64(m.expires.Unix()))
}

// Run looks at the files of all sources that were opened before, until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	if !w.hasSources() {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(w.opts.Every)
	defer tick.Stop()
	for {
		_ = w.look(false) // what is wrong is logged
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w *Watcher) hasSources() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sources) > 0
}

// Reload looks at the files now. Those that cannot be used are the error; what was in force before stays.
func (w *Watcher) Reload() error { return w.look(true) }

func (w *Watcher) look(asked bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all error
	for _, s := range w.sources {
		all = errors.Join(all, w.reload(s, asked))
		w.warn(s)
	}
	return all
}

// reload takes what is in the files if it is new and can be used. They are replaced one after the other, so that for a moment a
// certificate lies beside the key of another: only what is as unusable at the next look is told of.
func (w *Watcher) reload(s *Source, asked bool) error {
	raw, err := s.files.read()
	if err == nil && equal(raw, s.current.Load().raw) {
		s.refused, s.told = "", false
		return nil
	}
	var m *material
	if err == nil {
		m, err = s.files.load(raw)
	}
	if err == nil && m.expires.Before(w.opts.Now()) {
		err = fmt.Errorf("certificate %s: %w on %s", s.files.Certificate, errExpired, m.expires.Format(time.RFC3339))
	}
	if err != nil {
		what := err.Error() + digest(raw)
		again := s.refused == what
		if !again {
			s.told = false
		}
		if (again || asked) && !s.told {
			s.told = true
			w.metrics.reloads.WithLabelValues(s.use, "refused").Inc()
			w.opts.Logger.Error("cannot use new files of TLS, going on with those of before", "use", s.use, "error", err,
				"expires", s.Expires().Format(time.RFC3339))
		}
		s.refused = what
		return fmt.Errorf("TLS for %s: %w", s.use, err)
	}
	s.refused, s.told, s.warned = "", false, time.Time{}
	w.use(s, m)
	w.metrics.reloads.WithLabelValues(s.use, "taken").Inc()
	w.opts.Logger.Info("took new files of TLS", "use", s.use, "certificate", s.files.Certificate, "expires", m.expires.Format(time.RFC3339))
	return nil
}

const (
	soon      = 30 * 24 * time.Hour
	warnEvery = 24 * time.Hour
)

// warn tells of a certificate that ends soon, once a day.
func (w *Watcher) warn(s *Source) {
	now, expires := w.opts.Now(), s.Expires()
	if left := expires.Sub(now); left >= soon || !s.warned.IsZero() && now.Sub(s.warned) < warnEvery {
		return
	}
	s.warned = now
	w.opts.Logger.Warn("certificate expires soon, or has", "use", s.use, "certificate", s.files.Certificate, "expires", expires.Format(time.RFC3339),
		"days_left", int(expires.Sub(now).Hours()/24))
}
