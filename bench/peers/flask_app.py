"""The reference stack of bench/serving_test.go: the operation GET /api/flowcharts/<id>, with its sign-in check, in Flask and
SQLAlchemy under Gunicorn, as the system that the Studio follows is built."""
import hashlib
import os

from flask import Flask, jsonify, request
from sqlalchemy import Column, DateTime, Integer, LargeBinary, String, create_engine
from sqlalchemy.orm import declarative_base, scoped_session, sessionmaker

Base = declarative_base()


class Key(Base):
    __tablename__ = "api_key"
    id = Column(Integer, primary_key=True)
    app_user_id = Column(Integer)
    key_hash = Column(LargeBinary)
    revoked_at = Column(DateTime)


class User(Base):
    __tablename__ = "app_user"
    id = Column(Integer, primary_key=True)
    email = Column(String)
    role = Column(String)
    disabled_at = Column(DateTime)


class Flowchart(Base):
    __tablename__ = "flowchart"
    id = Column(Integer, primary_key=True)
    name = Column(String)
    description = Column(String)
    version = Column(Integer)
    max_node_executions = Column(Integer)
    max_runtime_minutes = Column(Integer)
    max_parallel_nodes = Column(Integer)
    created_at = Column(DateTime)
    updated_at = Column(DateTime)
    deleted_at = Column(DateTime)


class Version(Base):
    __tablename__ = "flowchart_version"
    id = Column(Integer, primary_key=True)
    flowchart_id = Column(Integer)
    number = Column(Integer)
    node_count = Column(Integer)


class Run(Base):
    __tablename__ = "flowchart_run"
    id = Column(Integer, primary_key=True)
    flowchart_id = Column(Integer)
    status = Column(String)
    created_at = Column(DateTime)


app = Flask(__name__)
engine = create_engine(os.environ["BENCH_DATABASE_URI"], pool_size=8, max_overflow=0)
Session = scoped_session(sessionmaker(bind=engine))


@app.teardown_appcontext
def release(_error):
    Session.remove()


def signed_in():
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    return (
        Session.query(User)
        .join(Key, Key.app_user_id == User.id)
        .filter(Key.key_hash == hashlib.sha256(key.encode()).digest(), Key.revoked_at.is_(None), User.disabled_at.is_(None))
        .one_or_none()
    )


def when(value):
    return value.isoformat() if value else None


@app.get("/api/flowcharts/<int:flowchart_id>")
def get_flowchart(flowchart_id):
    if signed_in() is None:
        return jsonify(title="Unauthorized", status=401), 401
    f = Session.get(Flowchart, flowchart_id)
    if f is None:
        return jsonify(title="Not Found", status=404), 404
    version = Session.query(Version).filter_by(flowchart_id=f.id, number=f.version).one_or_none()
    last = Session.query(Run).filter_by(flowchart_id=f.id).order_by(Run.id.desc()).first()
    return jsonify(
        id=f.id, name=f.name, description=f.description, version=f.version, max_node_executions=f.max_node_executions,
        max_runtime_minutes=f.max_runtime_minutes, max_parallel_nodes=f.max_parallel_nodes,
        node_count=version.node_count if version else 0,
        last_run={"id": last.id, "status": last.status, "created_at": when(last.created_at)} if last else None,
        created_at=when(f.created_at), updated_at=when(f.updated_at), deleted_at=when(f.deleted_at),
    )
