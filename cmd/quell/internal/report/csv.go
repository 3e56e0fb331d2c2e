package report

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"strconv"
	"strings"

	"github.com/quellhq/quell/rules"
)

var csvFormat = Format{Name: "csv", New: func(o Options) Sink { return newTable(o.W) }, NoGaps: true}

// table writes RFC 4180: a header row, and a row for each finding with the verdict about its
// credential and the outcome of its kill. A credential without a finding, as those of
// quell apply and quell recheck, has a row for each place, or one if none is known.
type table struct {
	w       *bufio.Writer
	rows    []tableRow
	found   map[string]bool // fingerprints with a row
	records records
}

// tableRow is a row without the columns that are known at the end: one string of CSV.
type tableRow struct{ fingerprint, cells string }

// tableColumns is the header. Columns are added at the end and never renamed.
var tableColumns = []string{"rule", "provider", "kind", "confidence", "fingerprint", "redacted", "secret",
	"source", "artifact", "path", "line", "column", "end_line", "end_column", "commit", "layer", "system", "run", "attempt", "job", "step", "decoded", "partial",
	"liveness", "reason", "host", "detail", "remedy", "action", "outcome", "held", "outcome_detail", "next"}

func newTable(w *bufio.Writer) *table { return &table{w: w, found: map[string]bool{}} }

func (t *table) Emit(e Event) error {
	t.records.take(e)
	switch e := e.(type) {
	case Finding:
		t.row(e.Ref, e.Secret, e.Location, e.Decoded, e.Partial)
	case Credential:
		if !t.found[e.Fingerprint] {
			for _, l := range e.Locations {
				t.row(e.Ref, e.Secret, l, nil, false)
			}
		}
	}
	if c, ok := e.(Action); ok && !t.found[c.Fingerprint] {
		t.row(c.Ref, "", rules.Location{}, nil, false)
	}
	return nil
}

// row keeps a row. It is text of the output already, which is the smallest form of it.
func (t *table) row(ref rules.Ref, secret string, l rules.Location, decoded []string, partial bool) {
	t.found[ref.Fingerprint] = true
	t.rows = append(t.rows, tableRow{ref.Fingerprint, record4180(
		ref.Rule, ref.Provider, string(ref.Kind), ref.Confidence.String(), ref.Fingerprint, ref.Redacted, secret,
		l.Source, l.Artifact, l.Path, number(l.Line), number(l.Column), number(l.EndLine), number(l.EndColumn), l.Commit, l.Layer, l.System, l.Run, number(l.Attempt), l.Job, l.Step,
		strings.Join(decoded, " "), map[bool]string{true: "true"}[partial])})
}

func (t *table) Close() error {
	_, _ = t.w.WriteString(record4180(tableColumns...) + "\r\n")
	for _, row := range t.rows {
		r := t.records.by[row.fingerprint]
		if r == nil {
			r = &record{}
		}
		liveness := ""
		if r.asked {
			liveness = r.liveness.String()
		}
		_, _ = t.w.WriteString(row.cells + "," + record4180(liveness, string(r.reason), r.host, r.detail, r.remedy, r.action, string(r.outcome), r.held, r.proof, r.next) + "\r\n")
	}
	return t.w.Flush()
}

// number is empty for what is not known.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// record4180 writes the cells of a record without its line break.
func record4180(cells ...string) string {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = cell(c)
	}
	_ = w.Write(row) // a bytes.Buffer takes everything
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

// cell makes text safe for a spreadsheet, which runs a cell that begins with one of these
// characters as a formula, also in their full-width forms: the quote before it makes it text
// (https://owasp.org/www-community/attacks/CSV_Injection). Clean has escaped tabs and line
// breaks before.
func cell(s string) string {
	s = Clean(s)
	if begin := strings.TrimLeft(s, " \u00a0\u3000"); begin != "" && strings.ContainsRune("=+-@\uff1d\uff0b\uff0d\uff20", []rune(begin)[0]) {
		return "'" + s
	}
	return s
}
