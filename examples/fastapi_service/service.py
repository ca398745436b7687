"""A FastAPI service: who is asking, what each request cost, calls to a collector, metrics for Prometheus."""

from decimal import Decimal
from typing import Annotated

from fastapi import Depends, FastAPI, Response
from openai import AsyncOpenAI
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

import tachograph
from tachograph.fastapi import Header, Path, TachographMiddleware, Totals, usage

set_meter_provider(MeterProvider([PrometheusMetricReader()]))

# The collector comes from TACHOGRAPH_SDK_COLLECTOR. `prices` is for the cost of each request, right here.
tachograph.instrument(opentelemetry=True, prices=True, service="helpdesk")

app = FastAPI()
app.add_middleware(
    TachographMiddleware,
    team="support",
    customer=Path("customer_id"),
    user=Header("x-user"),
    header="x-tachograph-usage",
)
client = AsyncOpenAI()


class Question(BaseModel):
    """What a customer asks."""

    text: str


class Answer(BaseModel):
    """What comes back, and what it cost."""

    text: str
    cost_usd: Decimal | None


@app.post("/customers/{customer_id}/ask")
async def ask(question: Question, used: Annotated[Totals, Depends(usage)]) -> Answer:
    with tachograph.context(feature="answer"):
        answer = await client.responses.create(model="gpt-5-mini", input=question.text)
    return Answer(text=answer.output_text, cost_usd=used.cost_usd)


@app.get("/metrics")
def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
