package dashboards

import "strings"

// Unit is how a panel's values are shown: Grafana's name of it.
type Unit string

// Units of the panels.
const (
	Count            Unit = "short"
	Bytes            Unit = "bytes"  // powers of 1024
	BytesPerSecond   Unit = "binBps" // powers of 1024
	Seconds          Unit = "s"
	RequestsPerS     Unit = "reqps"
	RecordsPerSecond Unit = "si:rec/s"
	EventsPerSecond  Unit = "si:/s"
	Share            Unit = "percentunit" // 1 is all
	Time             Unit = "dateTimeAsIso"
	YesNo            Unit = "bool_yes_no"
)

// Kind is what a panel looks like.
type Kind int

// Kinds of panels.
const (
	Lines Kind = iota
	Stacked
	Stat  // the newest value, large
	Table // the newest values, a row for each broker
)

// Query asks Prometheus. The legend names each of the answer's series; in it {{label}} is a label's value.
type Query struct {
	Expr, Legend string
	// Zero says why nothing but zeros may come of it in a run in which everything that can be made to happen happens. Without it, such
	// an answer fails bench/observe.
	Zero string
}

// Panel is one picture.
type Panel struct {
	Title, Description string
	Unit               Unit
	Kind               Kind
	Queries            []Query
	// Bad is the value from which on a Stat is red; 0: never.
	Bad float64
	// Wide is the width in 24ths of the screen: 0 is 8, of a Stat 3.
	Wide int
}

// Row is a heading and what stands under it.
type Row struct {
	Title  string
	Panels []Panel
}

// Dashboard is a page of panels.
type Dashboard struct {
	UID, Title, Description string
	Topics                  bool // it can be narrowed down to some topics
	Rows                    []Row
}

// File is the name of its file.
func (d Dashboard) File() string { return d.UID + ".json" }

// All are the dashboards in the order of a tour.
func All() []Dashboard {
	return []Dashboard{overview(), topics(), partitions(), storage(), brokers(), moves()}
}

// Panels gives all of a dashboard's, in order.
func (d Dashboard) Panels() []Panel {
	var out []Panel
	for _, r := range d.Rows {
		out = append(out, r.Panels...)
	}
	return out
}

// one is a panel of one query.
func one(title string, unit Unit, expr, legend, description string) Panel {
	return Panel{Title: title, Description: description, Unit: unit, Queries: []Query{{Expr: expr, Legend: legend}}}
}

// stat is a panel of one number, red from bad on.
func stat(title string, unit Unit, expr string, bad float64, description string) Panel {
	return Panel{Title: title, Description: description, Unit: unit, Kind: Stat, Bad: bad, Queries: []Query{{Expr: expr, Legend: title}}}
}

// stacked has the panel's lines stand on each other.
func (p Panel) stacked() Panel { p.Kind = Stacked; return p }

// with adds a query.
func (p Panel) with(expr, legend string) Panel {
	p.Queries = append(p.Queries, Query{Expr: expr, Legend: legend})
	return p
}

// wide sets the width.
func (p Panel) wide(w int) Panel { p.Wide = w; return p }

// In the queries: B are the chosen brokers, T the chosen topics, R is the time over which a rate is taken.
var short = strings.NewReplacer("<B>", `instance=~"$broker"`, "<T>", `topic=~"$topic"`, "<R>", "[$__rate_interval]")

// perSecond is the rate of a counter, by labels ("": of all together). The counter comes with what narrows it down.
func perSecond(by, counter string) string {
	return short.Replace(sumBy(by) + "(rate(" + counter + "<R>))")
}

// quantile is that of a histogram, by labels.
func quantile(q, by, histogram string) string {
	le := "le"
	if by != "" {
		le = by + ", le"
	}
	return short.Replace("histogram_quantile(" + q + ", sum by (" + le + ") (rate(" + histogram + "_bucket{<B>}<R>)))")
}

// mean is that of a histogram or a summary, by labels.
func mean(by, histogram string) string {
	return perSecond(by, histogram+"_sum{<B>}") + " / " + perSecond(by, histogram+"_count{<B>}")
}

func sumBy(by string) string {
	if by == "" {
		return "sum "
	}
	return "sum by (" + by + ") "
}

// gauge is one value a broker.
func gauge(name string) string { return short.Replace(name + "{<B>}") }

// quantiles is a panel of the usual three of a histogram over all brokers.
func quantiles(title, histogram, description string) Panel {
	return one(title, Seconds, quantile("0.5", "", histogram), "half are faster", description).
		with(quantile("0.99", "", histogram), "99%").with(quantile("0.999", "", histogram), "99.9%")
}
