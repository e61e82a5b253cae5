"""Reports: an executed notebook as one HTML file that needs no kernel and no network."""

from crystal_ldm.workflow.html.report import export_html, put_report, save_report

__all__ = ["export_html", "put_report", "save_report"]
