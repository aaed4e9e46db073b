package fleet

import (
	"fmt"
	"math"
	"strings"
)

// A Chart is a line chart, drawn as SVG that reads on light and dark pages.
type Chart struct {
	Title, X, Y string
	Log         bool // the y axis is logarithmic, from 1; a line has a gap where it is below
	Series      []Series
}

// A Series is one line.
type Series struct {
	Name   string
	Points []Point
	Dashed bool // a bound rather than a measurement
}

// A Point is in the units of the axes.
type Point struct{ X, Y float64 }

const (
	width, height            = 760, 380
	left, right, top, bottom = 64, 20, 60, 48
)

// The first two differ in lightness too, for readers who do not see the hues.
// All four stand out from a white page and from a black one.
var colours = []string{"#1f6feb", "#d9822b", "#2a9d5c", "#8a5cd0"}

// style follows the reader's page.
const style = "<style>.page{fill:#ffffff}.grid{stroke:#dddddd}text{fill:#1f2328}" +
	"@media(prefers-color-scheme:dark){.page{fill:#0d1117}.grid{stroke:#30363d}text{fill:#e6edf3}}</style>\n"

// SVG returns the drawing. The same chart gives the same bytes.
func (c Chart) SVG() string {
	var maxX, maxY float64
	for _, s := range c.Series {
		for _, p := range s.Points {
			maxX, maxY = max(maxX, p.X), max(maxY, p.Y)
		}
	}
	ticksX, ticksY := ticks(maxX), ticks(maxY)
	if c.Log {
		ticksY = nil
		for t := 1.0; t < maxY*10; t *= 10 {
			ticksY = append(ticksY, t)
		}
	}
	endX, endY := ticksX[len(ticksX)-1], ticksY[len(ticksY)-1]
	x := func(v float64) float64 { return left + v/endX*(width-left-right) }
	y := func(v float64) float64 {
		part := v / endY
		if c.Log {
			part = math.Log(max(1, v)) / math.Log(endY)
		}
		return height - bottom - part*(height-top-bottom)
	}
	var b strings.Builder
	fmt.Fprintf(
		&b,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\" "+
			"role=\"img\" aria-label=\"%s\">\n",
		width,
		height,
		escape(c.Title),
	)
	b.WriteString(style)
	fmt.Fprintf(
		&b,
		"<rect class=\"page\" width=\"%d\" height=\"%d\"/>\n<text x=\"%d\" y=\"20\" font-size=\"14\" "+
			"font-weight=\"bold\">%s</text>\n",
		width,
		height,
		left,
		escape(c.Title),
	)
	for _, t := range ticksX {
		fmt.Fprintf(&b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n", x(t), height-bottom+18, t)
	}
	for _, t := range ticksY {
		fmt.Fprintf(
			&b,
			"<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
			left,
			y(t),
			width-right,
			left-6,
			y(t)+4,
			t,
		)
	}
	fmt.Fprintf(
		&b,
		"<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
		(left+width-right)/2,
		height-10,
		escape(c.X),
	)
	fmt.Fprintf(
		&b,
		"<text transform=\"translate(14 %d) rotate(-90)\" text-anchor=\"middle\">%s</text>\n",
		(top+height-bottom)/2,
		escape(c.Y),
	)
	for i, s := range c.Series {
		var d strings.Builder
		gap := true
		for _, p := range s.Points {
			if c.Log && p.Y < 1 { // a logarithm has no zero
				gap = true
				continue
			}
			move := 'L'
			if gap {
				move = 'M'
			}
			gap = false
			fmt.Fprintf(&d, "%c%.1f %.1f", move, x(p.X), y(p.Y))
		}
		dash := ""
		if s.Dashed {
			dash = " stroke-dasharray=\"6 4\""
		}
		colour := colours[i%len(colours)]
		fmt.Fprintf(
			&b,
			"<path d=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"1.8\"%s/>\n",
			d.String(),
			colour,
			dash,
		)
		// The legend stands in a row above the plot, where no line runs through it.
		at := left + i*170
		fmt.Fprintf(
			&b,
			"<path d=\"M%d 40h24\" stroke=\"%s\" stroke-width=\"3\"%s/><text x=\"%d\" y=\"44\">%s</text>\n",
			at,
			colour,
			dash,
			at+30,
			escape(s.Name),
		)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// ticks returns round numbers from 0 to at least m, four to ten of them.
func ticks(m float64) []float64 {
	if m <= 0 {
		return []float64{0, 1}
	}
	step := math.Pow(10, math.Floor(math.Log10(m)))
	switch {
	case m/step < 2:
		step /= 5
	case m/step < 5:
		step /= 2
	}
	all := []float64{0}
	for len(all) < 12 && all[len(all)-1] < m {
		all = append(all, step*float64(len(all)))
	}
	return all
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
}

// seconds draws bins of that many seconds each as calls per second.
func seconds(bins []int, width float64) (points []Point) {
	for i, n := range bins {
		points = append(points, Point{float64(i) * width, float64(n) / width})
	}
	return points
}
