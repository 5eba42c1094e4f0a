// Draws every [data-chart]: its options lie in the json_script element of that id.
(() => {
  "use strict";
  const ink = "#12263a", muted = "#52606d", line = "#dce2e8";
  const font = getComputedStyle(document.body).fontFamily;
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;

  const gauge = (o) => ({
    animation: !still,
    series: [{
      type: "gauge", startAngle: 205, endAngle: -25, min: 0, max: Math.max(1, o.limit), radius: "96%", center: ["50%", "58%"],
      splitNumber: Math.min(5, Math.max(1, o.limit)),
      progress: { show: false },
      axisLine: { lineStyle: { width: 16, color: [
        [o.limit ? o.used / o.limit : 0, "#0a6472"],
        [o.limit ? Math.min(1, (o.used + o.held) / o.limit) : 0, "#d99a1f"],
        [1, "#dfe6eb"],
      ] } },
      axisTick: { show: false }, splitLine: { length: 6, distance: 4, lineStyle: { color: muted, width: 1 } },
      axisLabel: { distance: 22, color: muted, fontSize: 11, fontFamily: font, formatter: (v) => String(Math.round(v)) },
      pointer: { length: "58%", width: 4, itemStyle: { color: ink } },
      anchor: { show: true, size: 10, itemStyle: { color: ink } },
      title: { show: false },
      detail: { valueAnimation: false, formatter: `{value} / ${o.limit}`, fontSize: 20, fontWeight: 700, color: ink, fontFamily: font, offsetCenter: [0, "62%"] },
      data: [{ value: o.used, name: o.name }],
    }],
  });

  const bars = (o) => ({
    animation: !still,
    textStyle: { fontFamily: font, color: ink },
    grid: { left: 8, right: 16, top: 24, bottom: 8, containLabel: true },
    tooltip: { trigger: "axis", axisPointer: { type: "shadow" }, renderMode: "richText" },
    legend: o.series.length > 1 ? { top: 0 } : undefined,
    xAxis: { type: "category", data: o.labels, axisLabel: { color: muted }, axisLine: { lineStyle: { color: line } } },
    yAxis: { type: "value", minInterval: 1, axisLabel: { color: muted }, splitLine: { lineStyle: { color: line } } },
    color: ["#0a6472", "#d99a1f", "#6b8fb5"],
    series: o.series.map((s) => ({ type: "bar", name: s.name, data: s.data, stack: o.stack ? "all" : undefined, barMaxWidth: 36 })),
  });

  const lines = (o) => ({
    animation: !still,
    textStyle: { fontFamily: font, color: ink },
    grid: { left: 8, right: 16, top: 16, bottom: 8, containLabel: true },
    tooltip: { trigger: "axis", renderMode: "richText" },
    xAxis: { type: "category", data: o.labels, boundaryGap: false, axisLabel: { color: muted } },
    yAxis: { type: "value", minInterval: 1, axisLabel: { color: muted }, splitLine: { lineStyle: { color: line } } },
    color: ["#0a6472", "#d99a1f"],
    series: o.series.map((s) => ({ type: "line", step: "end", name: s.name, data: s.data, showSymbol: false, areaStyle: { opacity: 0.12 } })),
  });

  const kinds = { gauge, bars, lines };
  const draw = (root) => {
    if (!window.echarts) { return; }
    for (const place of root.querySelectorAll("[data-chart]")) {
      if (!place.clientWidth || window.echarts.getInstanceByDom(place)) { continue; }
      const options = JSON.parse(document.getElementById(place.dataset.chart).textContent);
      window.echarts.init(place, null, { renderer: "svg" }).setOption(kinds[options.kind](options));
    }
  };
  window.addEventListener("resize", () => {
    for (const place of document.querySelectorAll("[data-chart]")) { window.echarts?.getInstanceByDom(place)?.resize(); }
  });
  window.hengshuCharts = { draw };
  draw(document);
})();
