"use strict";
(function () {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(pointer: coarse)").matches;
  const hovers = window.matchMedia("(hover: hover)").matches;
  // Plotly would offer to upload a chart to its own cloud: nothing leaves this page.
  const config = {
    responsive: true, displaylogo: false, scrollZoom: false, showSendToCloud: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  };
  // The width of A4 between usual margins, in CSS pixels: a screen's width would be cut off.
  const PAPER_WIDTH = 680;
  let printing = false;

  function colours() {
    document.documentElement.classList.toggle("printing", printing);
    const style = getComputedStyle(document.documentElement);
    const names = ["ink", "paper", "line", "card", "soft",
      "blue", "orange", "green", "vermillion", "purple", "sky", "grey"];
    return Object.fromEntries(names.map((name) => [name, style.getPropertyValue("--" + name).trim()]));
  }

  // Figures name the colours that follow the theme; any other text stays as it is.
  function painted(value, theme, key) {
    if (Array.isArray(value)) { return value.map((item) => painted(item, theme, key)); }
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, painted(v, theme, k)]));
    }
    const named = key === "color" && Object.hasOwn(theme, value);
    return named ? theme[value] : value;
  }

  function layoutOf(chart, width) {
    const theme = colours();
    const layout = painted(chart.layout, theme, "");
    const margin = Object.assign({ l: 56, r: 16, t: 36, b: 48 }, layout.margin);
    const base = {
      autosize: true, margin: margin, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: theme.ink, family: "system-ui, sans-serif", size: 12 },
      hoverlabel: { bgcolor: theme.card, bordercolor: theme.line, font: { color: theme.ink } },
      legend: { orientation: "h", x: 0, y: 1.01, yanchor: "bottom" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: theme.soft, activecolor: theme.ink },
      hovermode: "closest", dragmode: touch ? false : "zoom", barmode: "relative",
    };
    const full = Object.assign(base, layout, { margin: margin });
    for (const key of ["xaxis", "yaxis"]) {
      full[key] = Object.assign({ gridcolor: theme.line, zerolinecolor: theme.line, linecolor: theme.line }, full[key]);
    }
    if (width) { full.width = width; full.autosize = false; }
    return full;
  }

  function draw(chart) {
    const place = document.getElementById(chart.place);
    const width = printing ? PAPER_WIDTH : 0;
    // Without a pointer that hovers, plotly's buttons would lie on the chart for good.
    const bar = printing || !hovers ? false : "hover";
    const settings = Object.assign({ displayModeBar: bar }, config);
    return Plotly.react(place, painted(chart.data, colours(), ""), layoutOf(chart, width), settings);
  }

  function drawAll() { charts.forEach(draw); }

  // One chart at a time, so that the page can be read and scrolled while the rest is drawn.
  function drawFrom(index) {
    if (index === charts.length) { document.documentElement.dataset.drawn = String(index); return; }
    try {
      draw(charts[index]);
    } catch (error) {
      document.getElementById(charts[index].place).textContent = "This chart could not be drawn.";
      setTimeout(() => { throw error; });
    }
    setTimeout(() => drawFrom(index + 1));
  }

  function copied(button) {
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }

  // A page opened from a file may have no clipboard; a selection always works.
  function copy(button) {
    const source = button.parentElement.querySelector("pre");
    const select = () => {
      getSelection().selectAllChildren(source);
      if (document.execCommand("copy")) { copied(button); }
    };
    if (!navigator.clipboard) { select(); return; }
    navigator.clipboard.writeText(source.textContent).then(() => copied(button), select);
  }

  document.addEventListener("click", (event) => {
    if (event.target.classList.contains("copy")) { copy(event.target); }
  });
  dark.addEventListener("change", drawAll);
  window.addEventListener("beforeprint", () => { printing = true; drawAll(); });
  window.addEventListener("afterprint", () => { printing = false; drawAll(); });
  drawFrom(0);
})();
