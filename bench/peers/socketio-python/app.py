"""python-socketio doing the job of bench/peers/socketio, under Gunicorn with gevent's WebSocket worker."""

import socketio

sio = socketio.Server(async_mode="gevent", cors_allowed_origins="*")
app = socketio.WSGIApp(sio)
PAD = "x" * 540


@sio.event
def join(sid, room):
    sio.enter_room(sid, room)


@sio.event
def publish(_sid, q):
    for sequence in range(q["count"]):
        event = {"stamp": q["stamp"], "sequence": sequence, "pad": PAD}
        if not q["rooms"]:
            sio.emit("event", event, room=q["room"])
        for n in range(q["rooms"]):
            sio.emit("event", event, room=f"own{n}")
