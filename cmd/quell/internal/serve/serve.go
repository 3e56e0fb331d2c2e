// Package serve scans whole organisations for as long as it runs: on a schedule, and when a
// webhook reports a run, a push or an image. Its work is jobs in a queue (River) in the database
// of the ledger: a SQLite file, or a PostgreSQL database that several machines share.
//
//	enumerate  lists a target's repositories            → scan
//	scan       reads a repository or a run, and records → probe
//	probe      asks the issuer                          → kill, if the configuration allows it; notify
//	kill       plans, applies and proves                → notify
//	recheck    asks again about what was live or ended  → probe
//
// Every job can be run again from its beginning: its earlier effects are in the database.
package serve

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"
	"go.opentelemetry.io/otel/trace"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/cmd/quell/internal/serve/web"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/detect"
)

// Options are what a Server is made of.
type Options struct {
	Config *Config
	// Listen is the address of the HTTP server; empty: there is none.
	Listen string
	// State is the ledger: a file, or a postgres:// address. Empty: the installation's.
	State   string
	Version string
	Getenv  func(string) string
	// Redactor is the one of all that leaves the process.
	Redactor *report.Redactor
	// Runtime makes what a job works with; offline asks no issuer.
	// own are the credentials that the server works with, which are never ended.
	Runtime func(offline bool, red *report.Redactor, own []rules.Secret) (*run.Runtime, error)
	// Memory opens the memory of what sources have read, in a ledger.
	Memory func(rt *run.Runtime, l *ledger.Ledger) (scanners.Memory, error)
	// Doer is the one of all Runtimes; on PostgreSQL it keeps the limits of hosts with the other
	// workers. Nil: each process keeps its own.
	Doer *run.Doer
	// Log gets a message for each event that an operator should see.
	Log *slog.Logger
	// Ready is called with the address of the HTTP server once jobs are worked on; may be nil.
	Ready func(address string)
	// Patience is the longest wait that a job spends on a server's limit; zero: 20 seconds.
	Patience time.Duration
	// Tick is the time between looks at the schedule; zero: five seconds.
	Tick time.Duration
}

// Server is a running quell serve.
type Server struct {
	o        Options
	worker   string
	store    *store.Store
	ledger   *ledger.Ledger
	queue    *river.Client[*sql.Tx]
	detector scanners.Detector
	typed    func(string) string // redacts what a person typed
	sources  map[string]*source
	hooks    map[string]sender
	asking   asking
	own      own
	metrics  *metrics
	// metricsToken protects /metrics; empty: only this machine reads it.
	metricsToken rules.Secret
	people       *web.People // who may sign in; nil: the configuration has no web page
	signedBy     ed25519.PublicKey
	killMax      int // kill.max and approvals of the policy when it started
	approvals    int
	tracer       trace.Tracer
	console      *web.Console // nil: the configuration has none
	runs         runs
	beaten       atomic.Int64 // when the database was last written, in Unix seconds
	resumed      time.Time    // when plans were last looked at that have their approvals
	skew         atomic.Int64 // nanoseconds by which the database's clock is ahead of this machine's
}

func (s *Server) log(message string, args ...any) {
	if s.o.Log != nil {
		s.o.Log.Info(message, args...)
	}
}

// defaults of this process.
const (
	defaultWorkers = 2
	// Probes and kills wait for issuers most of their time: a proof looks again over seconds. The rate
	// of requests to a host is limited elsewhere.
	probes   = 16
	killers  = 16
	stopTime = 20 * time.Second // for jobs to end by themselves
	webTime  = 5 * time.Second  // for requests to end
	// deliveries of one target at one time, of at most shortBody bytes or longer ones, and how
	// long another one waits
	maxShort, maxLong = 64, 4
	shortBody         = 1 << 20
	slotTime          = 8 * time.Second
)

// Check reads everything that Run needs, and changes nothing.
func Check(o Options) error {
	s := &Server{o: o}
	rt, err := s.prepare()
	if err != nil {
		return err
	}
	return rt.Close(context.Background())
}

// prepare reads secrets and rules.
func (s *Server) prepare() (*run.Runtime, error) {
	s.metrics = newMetrics()
	s.sources = map[string]*source{}
	for i := range s.o.Config.Target {
		t := &s.o.Config.Target[i]
		x := &source{Target: t, calls: func() { s.metrics.call(t.Name) }, minted: s.own.minted, patience: cmp.Or(s.o.Patience, defaultPatience), short: make(chan struct{}, maxShort), long: make(chan struct{}, maxLong)}
		if err := x.secrets(s.o.Getenv, s.knows); err != nil {
			return nil, err
		}
		if _, err := x.api(); err != nil { // App keys
			return nil, err
		}
		s.sources[t.Name] = x
	}
	if err := s.readHooks(); err != nil {
		return nil, err
	}
	if err := s.readMetricsToken(); err != nil {
		return nil, err
	}
	people, err := s.readPeople()
	if err != nil {
		return nil, err
	}
	rt, err := s.o.Runtime(true, s.o.Redactor, s.own.all())
	if err != nil {
		return nil, err
	}
	s.people, s.signedBy, s.killMax, s.approvals = people, rt.PublicKey(), rt.Policy.Max(), rt.Policy.Approvals
	switch {
	case rt.Keys.Temporary != nil:
		err = fmt.Errorf("the state folder can't be written, so what is sealed now could not be opened after a restart: %w", rt.Keys.Temporary)
	case s.o.Config.LeaveKills && !ledger.Remote(rt.State()):
		err = errors.New("leave_kills = true and no other process can use this database (hint: --state postgres://…)")
	case s.o.Config.Apply && !rt.HasPolicy():
		err = errors.New("apply = true and there is no policy file, which declares what may be ended (hint: quell policy init, or --policy FILE)")
	}
	if err == nil {
		err = opens(rt)
	}
	if err != nil {
		return nil, errors.Join(err, rt.Close(context.Background()))
	}
	return rt, nil
}

// opens reports an error if what is sealed now could not be opened by a later job.
func opens(rt *run.Runtime) error {
	ids, err := rt.Identities()
	if err != nil {
		return err
	}
	sealed, err := rt.Sealer.Seal([]byte("made up to see whether it opens"))
	if err != nil {
		return err
	}
	if _, err := config.Open(sealed, ids...); err != nil {
		return errors.New("recipients lacks this installation's own key, so no job could open what is found (hint: add the public key of the identity.txt in the state folder)")
	}
	return nil
}

// lease is how long one process has a SQLite file to itself without a renewal.
const lease = 30 * time.Second

// Run works until ctx ends.
func Run(ctx context.Context, o Options) error {
	if o.Tick == 0 {
		o.Tick = 5 * time.Second
	}
	s := &Server{o: o, worker: store.NewWorker()}
	rt, err := s.prepare()
	if err != nil {
		return err
	}
	defer rt.Close(context.WithoutCancel(ctx))
	s.detector = detect.New(rt.Rules)
	s.typed = rt.Typed
	if s.ledger, err = rt.Ledger(ctx); err != nil {
		return err
	}
	defer s.ledger.Close()
	mem, err := o.Memory(rt, s.ledger)
	if err != nil {
		return err
	}
	for _, x := range s.sources {
		x.mem, x.cache, x.client = mem, rt.Dirs.Cache, nil
	}
	var alone []ledger.Lease
	if !ledger.Remote(rt.State()) {
		if alone, err = s.ledger.Acquire(ctx, lease, "quell serve"); err != nil {
			return err
		}
		if len(alone) == 0 {
			return fmt.Errorf("another quell serve uses %s (hint: several processes need --state postgres://…)", rt.State())
		}
		defer s.ledger.Release(context.WithoutCancel(ctx), alone...) //nolint:errcheck // it ends with the process
	}
	if s.store, err = store.Open(ctx, rt.State()); err != nil {
		return err
	}
	defer s.store.Close()
	if o.Doer != nil {
		o.Doer.Across.Use(s.store)
	}
	registries := s.store.Registries()
	for _, x := range s.sources {
		x.shared, x.registries = s.store.Holds(x.Name), &registries
	}
	digest := hmac.New(sha256.New, rt.Keys.Fingerprint[:])
	digest.Write([]byte("quell serve " + rt.Keys.Identity.Recipient().String()))
	digest.Write(rt.PublicKey())
	if err := s.store.CheckKeys(ctx, hex.EncodeToString(digest.Sum(nil))); err != nil {
		return err
	}
	if err := s.beat(ctx); err != nil {
		return err
	}
	now, err := s.store.Now(ctx)
	if err != nil {
		return err
	}
	if _, err := s.store.TakeOver(ctx, s.worker, now); err != nil {
		return err
	}
	if s.queue, err = s.client(); err != nil {
		return err
	}
	if err := s.openConsole(ctx, rt.Keys.Fingerprint[:]); err != nil {
		return err
	}
	stop, err := s.startTracing(ctx)
	if err != nil {
		return err
	}
	defer stop(context.WithoutCancel(ctx))
	return s.work(ctx, alone)
}

// client makes River's.
func (s *Server) client() (*river.Client[*sql.Tx], error) {
	ws := river.NewWorkers()
	for _, err := range []error{
		river.AddWorkerSafely(ws, &worker[EnumerateArgs]{s: s, do: s.enumerate}),
		river.AddWorkerSafely(ws, &worker[ScanArgs]{s: s, do: s.scan}),
		river.AddWorkerSafely(ws, &worker[ProbeArgs]{s: s, do: s.probe}),
		river.AddWorkerSafely(ws, &worker[KillArgs]{s: s, do: s.kill}),
		river.AddWorkerSafely(ws, &worker[RecheckArgs]{s: s, do: s.recheck}),
		river.AddWorkerSafely(ws, &worker[NotifyArgs]{s: s, do: s.notify}),
		river.AddWorkerSafely(ws, &worker[RetentionArgs]{s: s, do: s.retention}),
	} {
		if err != nil {
			return nil, err
		}
	}
	c := &river.Config{
		ID:      s.worker,
		Workers: ws,
		Queues: map[string]river.QueueConfig{
			queueList: {MaxWorkers: 2}, queueScan: {MaxWorkers: s.o.Config.scans()}, queueProbe: {MaxWorkers: probes}, queueKill: {MaxWorkers: killers}, queueNotify: {MaxWorkers: 2},
		},
		MaxAttempts:   maxAttempts,
		RetryPolicy:   retries{s},
		JobTimeout:    -1,
		Logger:        slog.New(slog.DiscardHandler), // quell logs failures itself, redacted
		PollOnly:      false,
		FetchCooldown: 50 * time.Millisecond, FetchPollInterval: time.Second,
		// Jobs of workers that ended are taken over by TakeOver; this is for one that hangs.
		RescueStuckJobsAfter: 7 * day,
	}
	if !s.o.Config.Kills() {
		delete(c.Queues, queueKill)
	}
	if !s.store.Shared() {
		// SQLite has no LISTEN: how often quell looks decides how fast an event is acted on.
		c.FetchPollInterval = 250 * time.Millisecond
	}
	q, err := river.NewClient(s.store.Driver(), c)
	if err != nil {
		return nil, fmt.Errorf("the queue: %w", err)
	}
	return q, nil
}

// work runs jobs, the HTTP server and the schedule until ctx ends.
func (s *Server) work(ctx context.Context, alone []ledger.Lease) error {
	var l net.Listener
	if s.o.Listen != "" {
		var err error
		if l, err = net.Listen("tcp", s.o.Listen); err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
	}
	// Jobs end before their context does: Stop waits for them.
	jobs := context.WithoutCancel(ctx)
	if err := s.queue.Start(jobs); err != nil {
		if l != nil {
			_ = l.Close()
		}
		return fmt.Errorf("the queue: %w", err)
	}
	web, failed := s.listen(l)
	if s.o.Ready != nil {
		address := ""
		if l != nil {
			address = l.Addr().String()
		}
		s.o.Ready(address)
	}
	tick := time.NewTicker(s.o.Tick)
	defer tick.Stop()
	var err error
	for err == nil {
		if terr := s.tick(ctx, &alone); terr != nil && ctx.Err() == nil {
			// The database may be away for a while: jobs wait for it too.
			s.log("the schedule waits", "error", s.o.Redactor.Quoted(report.Clean(terr.Error())))
			if errors.Is(terr, errTaken) {
				err = terr
				break
			}
		}
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case err = <-failed:
		case <-tick.C:
		}
	}
	// Other workers must not take the jobs that still run: this one shows that it is there.
	stopped := make(chan struct{})
	defer close(stopped)
	go func() {
		for {
			select {
			case <-stopped:
				return
			case <-time.After(s.o.Tick):
				_ = s.alive(jobs, &alone)
			}
		}
	}()
	if web != nil {
		end, cancel := context.WithTimeout(jobs, webTime)
		if web.Shutdown(end) != nil {
			_ = web.Close()
		}
		cancel()
	}
	end, cancel := context.WithTimeout(jobs, stopTime)
	defer cancel()
	if s.queue.Stop(end) != nil {
		hard, cancel := context.WithTimeout(jobs, stopTime)
		defer cancel()
		_ = s.queue.StopAndCancel(hard)
	}
	_ = s.store.Leave(jobs, s.worker)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was stopped
	}
	return err
}

var errTaken = errors.New("another quell serve took over the database file while this one was suspended")

// alive shows that this worker is there.
func (s *Server) alive(ctx context.Context, alone *[]ledger.Lease) error {
	if len(*alone) > 0 {
		held, err := s.ledger.Renew(ctx, lease, *alone...)
		if err != nil {
			return err
		}
		if len(held) == 0 {
			return errTaken
		}
		*alone = held
	}
	return s.beat(ctx)
}

// tick records that this worker is alive, takes over the jobs of workers that ended, and starts
// what is due.
func (s *Server) tick(ctx context.Context, alone *[]ledger.Lease) error {
	if err := s.alive(ctx, alone); err != nil {
		return err
	}
	// The machines' clocks may differ: the database's is the one of all.
	now, err := s.store.Now(ctx)
	if err != nil {
		return err
	}
	n, err := s.store.TakeOver(ctx, s.worker, now)
	if err != nil {
		return err
	}
	if n > 0 {
		s.log("jobs of a worker that ended were taken over", "jobs", n)
	}
	if err := s.orphans(ctx); err != nil {
		return err
	}
	live, err := s.store.Live(ctx, now)
	if err != nil {
		return err
	}
	for _, x := range s.sources {
		x.share(live)
	}
	for i := range s.o.Config.Target {
		t := &s.o.Config.Target[i]
		due, err := s.store.Due(ctx, t.Name, t.Every.or(day), now, func(tx *store.Tx) error {
			return s.insert(ctx, tx, job(EnumerateArgs{Target: t.Name}, queueList, usual))
		})
		if err != nil {
			return err
		}
		if due {
			s.log("sweep", "target", t.Name)
		}
	}
	if s.o.Config.Apply && time.Since(s.resumed) > time.Minute {
		if err := s.resume(ctx); err != nil {
			return err
		}
		s.resumed = time.Now()
	}
	if s.o.Config.Retention != (Retention{}) {
		err := s.store.Once(ctx, "retention", day, now, func(tx *store.Tx) error {
			return s.insert(ctx, tx, job(RetentionArgs{}, queueList, late))
		})
		if err != nil {
			return err
		}
	}
	return s.store.Once(ctx, "recheck", s.o.Config.Recheck.or(day), now, func(tx *store.Tx) error {
		return s.insert(ctx, tx, job(RecheckArgs{}, queueList, usual))
	})
}

func (s *Server) beat(ctx context.Context) error {
	host, _ := os.Hostname()
	start := time.Now()
	now, err := s.store.Now(ctx)
	if err != nil {
		return err
	}
	s.skew.Store(int64(now.Sub(start.Add(time.Since(start) / 2)))) // of wall clocks: now has no other
	if err := s.store.Beat(ctx, s.worker, host, now); err != nil {
		return err
	}
	s.beaten.Store(time.Now().Unix())
	return nil
}
