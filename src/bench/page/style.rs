//! How the page looks: light and dark, on a phone, on a desk and on paper.
//!
//! Colours after Okabe and Ito ("Color universal design", 2008), darkened on white so that thin lines keep their
//! contrast; each goes with a pattern, a dash or a shape.

/// The style sheet.
pub(super) const STYLE: &str = "
:root{color-scheme:light dark;--paper:#fff;--soft:#f3f4f6;--ink:#1b1e22;--quiet:#565d66;--line:#d5d9de;--band:#e4e7eb;
--look0:#0067a8;--look1:#c14a00;--look2:#00765a;--look3:#a03d7c;--look4:#8f6000;--look5:#4a5058;--look6:#0e7f9b;
--look7:#6a55c8;--alarm:#a32100;--alarm-soft:#fdf0ea;
--client:#0072b2;--server:#009e73;--relay:#cc79a7;--other:#d99000;--steal:#1b1e22;--wait-cpu:#d55e00;--wait-io:#8cc8ec}
@media screen and (prefers-color-scheme:dark){:root{--paper:#14171a;--soft:#1e2226;--ink:#e7e9ec;--quiet:#a6adb5;
--line:#363c43;--band:#2b3036;--look0:#56b4e9;--look1:#ff8b4d;--look2:#2fc79b;--look3:#e59dc8;--look4:#e8ae3c;
--look5:#c3c9d0;--look6:#79d3e8;--look7:#ab9ff5;--alarm:#ff9b78;--alarm-soft:#2f1e18;
--client:#3a9bdc;--server:#1fb78a;--relay:#cc79a7;--other:#e0a21f;--steal:#e7e9ec;--wait-cpu:#ff7a2e;--wait-io:#3f6f8f}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,
'Helvetica Neue',Arial,sans-serif;overflow-wrap:anywhere}
main{max-width:1256px;margin:0 auto;padding:28px 16px 72px}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .35em;letter-spacing:-.01em}
h2{font-size:1.4rem;line-height:1.25;margin:0 0 .5em}
h3{font-size:1.1rem;margin:1.7em 0 1em;padding-bottom:.3em;border-bottom:1px solid var(--line)}
h4{font-size:.95rem;line-height:1.35;margin:0 0 .5em}
p{margin:.6em 0;max-width:75ch}
a{color:var(--look0)}
code{font:.9em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--soft);padding:.1em .35em;
border-radius:3px}
small{font-size:.8125rem}
.quiet-text{color:var(--quiet)}
section.group{margin-top:56px;padding-top:28px;border-top:2px solid var(--ink)}
.answers{list-style:none;margin:1.2em 0;padding:0;display:grid;gap:12px}
.answers li{background:var(--soft);border-left:4px solid var(--look0);padding:12px 16px}
.answers li.open{border-left-style:dashed;border-left-color:var(--quiet)}
.answers b{font-size:1.05rem}
.answers p{margin:.25em 0 0}
.loud{border:2px solid var(--alarm);background:var(--alarm-soft);padding:10px 14px;margin:10px 0;max-width:none}
.loud b{color:var(--alarm);text-transform:uppercase;letter-spacing:.04em}
.facts{margin:1.2em 0;display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,340px),1fr));gap:6px 40px}
.facts div{display:grid;grid-template-columns:6.5em 1fr;gap:0 12px;font-size:.875rem;min-width:0}
.facts dt{color:var(--quiet)}.facts dd{margin:0;min-width:0}
.scroll{overflow-x:auto;max-width:100%;margin:0 0 1em;border:1px solid var(--line);border-radius:4px}
.scroll:focus-visible{outline:2px solid var(--look0)}
table{border-collapse:collapse;width:100%;font-size:.78rem;line-height:1.35;font-variant-numeric:tabular-nums;
overflow-wrap:normal}
.about{font-size:.8125rem;color:var(--quiet);margin:1.6em 0 .4em}.whole{white-space:nowrap}
th,td{padding:6px 6px;text-align:right;vertical-align:baseline;white-space:nowrap}
thead th{vertical-align:bottom;white-space:normal;font-weight:600;border-bottom:1px solid var(--ink)}
th small{display:block;font-weight:400;color:var(--quiet)}
tbody th{position:sticky;left:0;background:var(--paper);font-weight:600;text-align:left;padding-left:calc(6px + 1.9em);
text-indent:-1.9em}
thead th:first-child{text-align:left}
tbody tr+tr>*{border-top:1px solid var(--line)}
tbody th i{font-style:normal;font-weight:400;color:var(--quiet);display:inline-block;
min-width:1.9em;text-indent:0}
td.word,td.words{text-align:left}td.words{white-space:normal;min-width:16em}
.faster{color:var(--look0);font-weight:600}.slower{color:var(--look1);font-weight:600}
.suspect,.invalid{color:var(--alarm);font-weight:600}
.notes{font-size:.875rem;padding-left:1.2em;max-width:95ch}.notes li{margin:.4em 0}
.figures{columns:3 330px;column-gap:44px}
figure{margin:0;padding-bottom:36px;min-width:0;break-inside:avoid}
figcaption{font-size:.875rem;margin-top:.6em;max-width:62ch}
figure svg{display:block;width:100%;max-width:480px;height:auto}
details{margin:1em 0}summary{cursor:pointer;font-weight:600;padding:6px 0}
footer{margin-top:64px;font-size:.8125rem;color:var(--quiet);border-top:1px solid var(--line);padding-top:12px}
svg text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;fill:var(--ink);
font-variant-numeric:tabular-nums}
svg .quiet{fill:var(--quiet)}svg .strong{font-weight:600}
svg .end{text-anchor:end}svg .middle{text-anchor:middle}
svg .halo{paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
.grid{stroke:var(--line);stroke-width:1}.axis{stroke:var(--quiet);stroke-width:1}
.one{stroke:var(--ink);stroke-width:1.2}.band{fill:var(--band)}
.rule{stroke:var(--ink);stroke-width:1.2;stroke-dasharray:4 3;fill:none}
.bound{stroke:var(--quiet);stroke-width:1.6;stroke-dasharray:2 3;fill:none}
.whisker{stroke:var(--c,var(--ink));stroke-width:2;fill:none}
.whisker.thin{stroke-width:1.2}
.shade{fill:url(#hatch);opacity:.6}
.curve{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round}
.curve.faint{stroke:var(--quiet);stroke-width:.8;opacity:.5}
.mark{fill:var(--c);stroke:var(--paper);stroke-width:.8}
.mark.faint{fill:var(--quiet);stroke:none;opacity:.55}
.mark.hollow{fill:var(--paper);stroke:var(--c,var(--ink));stroke-width:1.6}
.bar{fill:var(--client)}.area{fill:var(--band);stroke:var(--c);stroke-width:1.4;stroke-linejoin:round}.track{fill:none;stroke:var(--line)}
.look0{--c:var(--look0)}.look1{--c:var(--look1)}.look2{--c:var(--look2)}.look3{--c:var(--look3)}
.look4{--c:var(--look4)}.look5{--c:var(--look5)}.look6{--c:var(--look6)}.look7{--c:var(--look7)}
.dash1{stroke-dasharray:8 3}.dash2{stroke-dasharray:2 2.5}.dash3{stroke-dasharray:9 3 2 3}.dash4{stroke-dasharray:4 2}
.dash5{stroke-dasharray:14 4}.dash6{stroke-dasharray:1.5 4}.dash7{stroke-dasharray:7 2 1.5 2 1.5 2}
.on-cpu,.client-user{fill:var(--client)}.wait-cpu{fill:url(#wait-cpu)}.wait-io{fill:url(#wait-io)}
.no-work{fill:var(--paper);stroke:var(--line);stroke-width:.6}
.client-system{fill:url(#client-system)}.server{fill:url(#server)}.relay{fill:url(#relay)}.other{fill:url(#other)}
.idle{fill:var(--paper);stroke:var(--line);stroke-width:.8}.steal{fill:url(#steal)}
.patterns{position:absolute;width:0;height:0}
@media screen and (max-width:640px){tbody th{white-space:normal;min-width:10em;max-width:11.5em}section.group{margin-top:40px}}
@media screen and (max-width:400px){main{padding-left:12px;padding-right:12px}}
@media print{@page{margin:14mm}body{font-size:11pt;background:#fff;color:#000}main{max-width:none;padding:0}
h3,h4{break-after:avoid}figure,tr,.answers li{break-inside:avoid}.figures{columns:2;column-gap:24px}
.scroll{overflow:visible;border:0}table{font-size:6pt}th small{font-size:inherit}th,td{padding:2px 3px}
tbody th{white-space:normal}
tbody th{position:static}details:not([open]){display:none}
.answers li,.loud{background:none}*{box-shadow:none!important;print-color-adjust:exact;-webkit-print-color-adjust:exact}}
";

/// Patterns that areas are filled with, once for all pictures.
pub(super) const PATTERNS: &str = "<svg class=\"patterns\" aria-hidden=\"true\" focusable=\"false\"><defs>\
<pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
<path d=\"M0 3H6\" style=\"stroke:var(--quiet);stroke-width:1.2\"/></pattern>\
<pattern id=\"wait-cpu\" width=\"3\" height=\"3\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
<path d=\"M0 0H3V3H0Z\" style=\"fill:var(--paper)\"/>\
<path d=\"M0 1.5H3\" style=\"stroke:var(--wait-cpu);stroke-width:1.9\"/></pattern>\
<pattern id=\"wait-io\" width=\"4\" height=\"4\" patternUnits=\"userSpaceOnUse\">\
<path d=\"M0 0H4V4H0Z\" style=\"fill:var(--wait-io)\"/>\
<path d=\"M1.4 1.4H2.6V2.6H1.4Z\" style=\"fill:var(--paper)\"/></pattern>\
<pattern id=\"client-system\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
<path d=\"M0 0H5V5H0Z\" style=\"fill:var(--paper)\"/>\
<path d=\"M0 2.5H5\" style=\"stroke:var(--client);stroke-width:2.8\"/></pattern>\
<pattern id=\"server\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\">\
<path d=\"M0 0H5V5H0Z\" style=\"fill:var(--server)\"/>\
<path d=\"M1.6 1.6H3.4V3.4H1.6Z\" style=\"fill:var(--paper)\"/></pattern>\
<pattern id=\"relay\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
<path d=\"M0 0H6V6H0Z\" style=\"fill:var(--paper)\"/>\
<path d=\"M0 3H6M3 0V6\" style=\"stroke:var(--relay);stroke-width:1.8\"/></pattern>\
<pattern id=\"other\" width=\"4\" height=\"4\" patternUnits=\"userSpaceOnUse\">\
<path d=\"M0 0H4V4H0Z\" style=\"fill:var(--paper)\"/>\
<path d=\"M2 0V4\" style=\"stroke:var(--other);stroke-width:2\"/></pattern>\
<pattern id=\"steal\" width=\"4\" height=\"4\" patternUnits=\"userSpaceOnUse\">\
<path d=\"M0 0H4V4H0Z\" style=\"fill:var(--paper)\"/>\
<path d=\"M0 2H4\" style=\"stroke:var(--steal);stroke-width:2\"/></pattern></defs></svg>";
