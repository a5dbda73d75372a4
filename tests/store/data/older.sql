SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE TYPE public.studydirection AS ENUM (
    'NOT_SET',
    'MINIMIZE',
    'MAXIMIZE'
);
CREATE TYPE public.trialintermediatevaluetype AS ENUM (
    'FINITE',
    'INF_POS',
    'INF_NEG',
    'NAN'
);
CREATE TYPE public.trialstate AS ENUM (
    'RUNNING',
    'COMPLETE',
    'PRUNED',
    'FAIL',
    'WAITING'
);
CREATE TYPE public.trialvaluetype AS ENUM (
    'FINITE',
    'INF_POS',
    'INF_NEG'
);
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.studies (
    study_id integer NOT NULL,
    study_name character varying(512) NOT NULL
);
CREATE SEQUENCE public.studies_study_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.studies_study_id_seq OWNED BY public.studies.study_id;
CREATE TABLE public.study_directions (
    study_direction_id integer NOT NULL,
    direction public.studydirection NOT NULL,
    study_id integer NOT NULL,
    objective integer NOT NULL
);
CREATE SEQUENCE public.study_directions_study_direction_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.study_directions_study_direction_id_seq OWNED BY public.study_directions.study_direction_id;
CREATE TABLE public.study_system_attributes (
    study_system_attribute_id integer NOT NULL,
    study_id integer,
    key character varying(512),
    value_json text
);
CREATE SEQUENCE public.study_system_attributes_study_system_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.study_system_attributes_study_system_attribute_id_seq OWNED BY public.study_system_attributes.study_system_attribute_id;
CREATE TABLE public.study_user_attributes (
    study_user_attribute_id integer NOT NULL,
    study_id integer,
    key character varying(512),
    value_json text
);
CREATE SEQUENCE public.study_user_attributes_study_user_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.study_user_attributes_study_user_attribute_id_seq OWNED BY public.study_user_attributes.study_user_attribute_id;
CREATE TABLE public.trial_heartbeats (
    trial_heartbeat_id integer NOT NULL,
    trial_id integer NOT NULL,
    heartbeat timestamp without time zone NOT NULL
);
CREATE SEQUENCE public.trial_heartbeats_trial_heartbeat_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_heartbeats_trial_heartbeat_id_seq OWNED BY public.trial_heartbeats.trial_heartbeat_id;
CREATE TABLE public.trial_intermediate_values (
    trial_intermediate_value_id integer NOT NULL,
    trial_id integer NOT NULL,
    step integer NOT NULL,
    intermediate_value double precision,
    intermediate_value_type public.trialintermediatevaluetype NOT NULL
);
CREATE SEQUENCE public.trial_intermediate_values_trial_intermediate_value_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_intermediate_values_trial_intermediate_value_id_seq OWNED BY public.trial_intermediate_values.trial_intermediate_value_id;
CREATE TABLE public.trial_params (
    param_id integer NOT NULL,
    trial_id integer,
    param_name character varying(512),
    param_value double precision,
    distribution_json text
);
CREATE SEQUENCE public.trial_params_param_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_params_param_id_seq OWNED BY public.trial_params.param_id;
CREATE TABLE public.trial_system_attributes (
    trial_system_attribute_id integer NOT NULL,
    trial_id integer,
    key character varying(512),
    value_json text
);
CREATE SEQUENCE public.trial_system_attributes_trial_system_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_system_attributes_trial_system_attribute_id_seq OWNED BY public.trial_system_attributes.trial_system_attribute_id;
CREATE TABLE public.trial_user_attributes (
    trial_user_attribute_id integer NOT NULL,
    trial_id integer,
    key character varying(512),
    value_json text
);
CREATE SEQUENCE public.trial_user_attributes_trial_user_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_user_attributes_trial_user_attribute_id_seq OWNED BY public.trial_user_attributes.trial_user_attribute_id;
CREATE TABLE public.trial_values (
    trial_value_id integer NOT NULL,
    trial_id integer NOT NULL,
    objective integer NOT NULL,
    value double precision,
    value_type public.trialvaluetype NOT NULL
);
CREATE SEQUENCE public.trial_values_trial_value_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trial_values_trial_value_id_seq OWNED BY public.trial_values.trial_value_id;
CREATE TABLE public.trials (
    trial_id integer NOT NULL,
    number integer,
    study_id integer,
    state public.trialstate NOT NULL,
    datetime_start timestamp without time zone,
    datetime_complete timestamp without time zone
);
CREATE SEQUENCE public.trials_trial_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trials_trial_id_seq OWNED BY public.trials.trial_id;
CREATE TABLE public.version_info (
    version_info_id integer NOT NULL,
    schema_version integer,
    library_version character varying(256),
    CONSTRAINT version_info_version_info_id_check CHECK ((version_info_id = 1))
);
ALTER TABLE ONLY public.studies ALTER COLUMN study_id SET DEFAULT nextval('public.studies_study_id_seq'::regclass);
ALTER TABLE ONLY public.study_directions ALTER COLUMN study_direction_id SET DEFAULT nextval('public.study_directions_study_direction_id_seq'::regclass);
ALTER TABLE ONLY public.study_system_attributes ALTER COLUMN study_system_attribute_id SET DEFAULT nextval('public.study_system_attributes_study_system_attribute_id_seq'::regclass);
ALTER TABLE ONLY public.study_user_attributes ALTER COLUMN study_user_attribute_id SET DEFAULT nextval('public.study_user_attributes_study_user_attribute_id_seq'::regclass);
ALTER TABLE ONLY public.trial_heartbeats ALTER COLUMN trial_heartbeat_id SET DEFAULT nextval('public.trial_heartbeats_trial_heartbeat_id_seq'::regclass);
ALTER TABLE ONLY public.trial_intermediate_values ALTER COLUMN trial_intermediate_value_id SET DEFAULT nextval('public.trial_intermediate_values_trial_intermediate_value_id_seq'::regclass);
ALTER TABLE ONLY public.trial_params ALTER COLUMN param_id SET DEFAULT nextval('public.trial_params_param_id_seq'::regclass);
ALTER TABLE ONLY public.trial_system_attributes ALTER COLUMN trial_system_attribute_id SET DEFAULT nextval('public.trial_system_attributes_trial_system_attribute_id_seq'::regclass);
ALTER TABLE ONLY public.trial_user_attributes ALTER COLUMN trial_user_attribute_id SET DEFAULT nextval('public.trial_user_attributes_trial_user_attribute_id_seq'::regclass);
ALTER TABLE ONLY public.trial_values ALTER COLUMN trial_value_id SET DEFAULT nextval('public.trial_values_trial_value_id_seq'::regclass);
ALTER TABLE ONLY public.trials ALTER COLUMN trial_id SET DEFAULT nextval('public.trials_trial_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('v3.2.0.a');
INSERT INTO public.studies VALUES (1, 'older');
INSERT INTO public.study_directions VALUES (1, 'MINIMIZE', 1, 0);
INSERT INTO public.study_system_attributes VALUES (1, 1, 'kubetuna:epoch', '{"number": 1, "writer": "process 25643 on laptop since 2026-11-26T03:28:16.912Z"}');
INSERT INTO public.study_system_attributes VALUES (2, 1, 'kubetuna:experiment', '{"apiVersion": "kubetuna.dev/v1alpha1", "kind": "Experiment", "metadata": {"name": "older"}, "spec": {"maxTrialCount": 6, "parallelTrialCount": 1, "maxFailedTrialCount": 5, "repeats": 2, "objective": {"type": "minimize", "objectiveMetricName": "loss", "additionalMetricNames": ["extra"]}, "algorithm": {"algorithmName": "tpe", "algorithmSettings": [{"name": "seed", "value": 3}]}, "earlyStopping": {"algorithmName": "threshold", "algorithmSettings": [{"name": "upper", "value": 5}]}, "parameters": [{"name": "x", "parameterType": "double", "feasibleSpace": {"min": 0, "max": 1}}, {"name": "kind", "parameterType": "categorical", "feasibleSpace": {"list": ["plain", "fails", "diverges"]}}], "warmStart": {"points": [{"x": 0.5, "kind": "plain"}, {"x": 0.25, "kind": "fails"}, {"x": 0.75, "kind": "diverges"}, {"x": 0.375, "kind": "plain"}]}, "trialTemplate": {"trialSpec": {"apiVersion": "v1", "kind": "Pod", "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "trial", "image": "python", "command": ["python", "-u", "-c"], "args": ["import json, os, sys, time\nx, kind = float(os.environ[\"KUBETUNA_PARAM_X\"]), os.environ[\"KUBETUNA_PARAM_KIND\"]\nif kind == \"fails\":\n    sys.exit(\"no data\")\nfor step in range(2):\n    loss = 10 if kind == \"diverges\" else (x - 0.3) ** 2 + 1 / (step + 1)\n    print(json.dumps({\"step\": step, \"loss\": loss, \"extra\": x}))\n    time.sleep(60 if kind == \"diverges\" else 0)\n"]}]}}}}}');
INSERT INTO public.study_system_attributes VALUES (3, 1, 'kubetuna:seed', '3');
INSERT INTO public.study_system_attributes VALUES (4, 1, 'kubetuna:uid', '"4f9aaac9"');
INSERT INTO public.study_system_attributes VALUES (5, 1, 'kubetuna:started', '1795663696.914816');
INSERT INTO public.study_system_attributes VALUES (6, 1, 'kubetuna:folder', '"/srv/older/kubetuna-runs/older-4f9aaac9"');
INSERT INTO public.trial_intermediate_values VALUES (1, 1, 0, 1.04, 'FINITE');
INSERT INTO public.trial_intermediate_values VALUES (2, 1, 1, 0.54, 'FINITE');
INSERT INTO public.trial_intermediate_values VALUES (3, 3, 0, 10, 'FINITE');
INSERT INTO public.trial_intermediate_values VALUES (4, 4, 0, 1.005625, 'FINITE');
INSERT INTO public.trial_intermediate_values VALUES (5, 4, 1, 0.505625, 'FINITE');
INSERT INTO public.trial_intermediate_values VALUES (6, 5, 0, 10, 'FINITE');
INSERT INTO public.trial_intermediate_values VALUES (7, 6, 0, 1.0214359742562467, 'FINITE');
INSERT INTO public.trial_intermediate_values VALUES (8, 6, 1, 0.5214359742562467, 'FINITE');
INSERT INTO public.trial_params VALUES (1, 1, 'x', 0.5, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO public.trial_params VALUES (2, 1, 'kind', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": ["plain", "fails", "diverges"]}}');
INSERT INTO public.trial_params VALUES (3, 2, 'x', 0.25, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO public.trial_params VALUES (4, 2, 'kind', 1, '{"name": "CategoricalDistribution", "attributes": {"choices": ["plain", "fails", "diverges"]}}');
INSERT INTO public.trial_params VALUES (5, 3, 'x', 0.75, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO public.trial_params VALUES (6, 3, 'kind', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": ["plain", "fails", "diverges"]}}');
INSERT INTO public.trial_params VALUES (7, 4, 'x', 0.375, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO public.trial_params VALUES (8, 4, 'kind', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": ["plain", "fails", "diverges"]}}');
INSERT INTO public.trial_params VALUES (9, 5, 'x', 0.35419154715486234, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO public.trial_params VALUES (10, 5, 'kind', 2, '{"name": "CategoricalDistribution", "attributes": {"choices": ["plain", "fails", "diverges"]}}');
INSERT INTO public.trial_params VALUES (11, 6, 'x', 0.44641029422908307, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}');
INSERT INTO public.trial_params VALUES (12, 6, 'kind', 0, '{"name": "CategoricalDistribution", "attributes": {"choices": ["plain", "fails", "diverges"]}}');
INSERT INTO public.trial_system_attributes VALUES (1, 1, 'kubetuna:ordinal', '0');
INSERT INTO public.trial_system_attributes VALUES (47, 5, 'kubetuna:verdict', '"prune"');
INSERT INTO public.trial_system_attributes VALUES (48, 5, 'kubetuna:log', '{"attempt": 0, "cursor": "54", "curve": {"ordinal": 1, "last": 0, "latest": {"loss": 10.0, "extra": 0.35419154715486234}}}');
INSERT INTO public.trial_system_attributes VALUES (4, 1, 'kubetuna:log', '{"attempt": 1, "cursor": "80", "curve": {"ordinal": 2, "last": 1, "latest": {"loss": 0.54, "extra": 0.5}}, "repeat": 1}');
INSERT INTO public.trial_system_attributes VALUES (2, 1, 'kubetuna:attempts', '[{"number": 0, "created": 1795663697.076065, "params_hash": "ededc5d67207e840", "started": 1795663697.2936187, "ended": 1795663697.3840957, "exit_code": 0, "node": "laptop", "outcome": "Succeeded"}, {"number": 1, "created": 1795663697.3939059, "params_hash": "ededc5d67207e840", "started": 1795663697.5216231, "ended": 1795663697.6287673, "exit_code": 0, "node": "laptop", "outcome": "Succeeded", "repeat": 1}]');
INSERT INTO public.trial_system_attributes VALUES (6, 1, 'kubetuna:repeats', '[{"loss": 0.54, "extra": 0.5}, {"loss": 0.54, "extra": 0.5}]');
INSERT INTO public.trial_system_attributes VALUES (11, 1, 'kubetuna:metrics', '{"loss": 0.54, "extra": 0.5}');
INSERT INTO public.trial_system_attributes VALUES (12, 1, 'kubetuna:outcome', '"Succeeded"');
INSERT INTO public.trial_system_attributes VALUES (13, 1, 'kubetuna:message', '""');
INSERT INTO public.trial_system_attributes VALUES (14, 2, 'kubetuna:ordinal', '1');
INSERT INTO public.trial_system_attributes VALUES (15, 2, 'kubetuna:attempts', '[{"number": 0, "created": 1795663697.6298819, "params_hash": "2e62f026d7ba8257", "started": 1795663697.7989104, "ended": 1795663697.8915615, "exit_code": 1, "node": "laptop", "outcome": "Crashed", "message": "exit code 1"}]');
INSERT INTO public.trial_system_attributes VALUES (18, 2, 'kubetuna:outcome', '"Crashed"');
INSERT INTO public.trial_system_attributes VALUES (19, 2, 'kubetuna:message', '"exit code 1"');
INSERT INTO public.trial_system_attributes VALUES (20, 3, 'kubetuna:ordinal', '2');
INSERT INTO public.trial_system_attributes VALUES (45, 5, 'kubetuna:attempts', '[{"number": 0, "created": 1795663698.758402, "params_hash": "82d28bd79f4190dd", "started": 1795663698.9237666, "ended": 1795663699.1048734, "exit_code": 143, "reason": "Pruned", "node": "laptop", "stop": "Pruned", "outcome": "Pruned", "message": "pruned"}]');
INSERT INTO public.trial_system_attributes VALUES (23, 3, 'kubetuna:verdict', '"prune"');
INSERT INTO public.trial_system_attributes VALUES (24, 3, 'kubetuna:log', '{"attempt": 0, "cursor": "39", "curve": {"ordinal": 1, "last": 0, "latest": {"loss": 10.0, "extra": 0.75}}}');
INSERT INTO public.trial_system_attributes VALUES (51, 5, 'kubetuna:metrics', '{"loss": 10.0, "extra": 0.35419154715486234}');
INSERT INTO public.trial_system_attributes VALUES (21, 3, 'kubetuna:attempts', '[{"number": 0, "created": 1795663697.8945239, "params_hash": "e3428925127347cb", "started": 1795663698.057794, "ended": 1795663698.2285745, "exit_code": 143, "reason": "Pruned", "node": "laptop", "stop": "Pruned", "outcome": "Pruned", "message": "pruned"}]');
INSERT INTO public.trial_system_attributes VALUES (27, 3, 'kubetuna:metrics', '{"loss": 10.0, "extra": 0.75}');
INSERT INTO public.trial_system_attributes VALUES (28, 3, 'kubetuna:outcome', '"Pruned"');
INSERT INTO public.trial_system_attributes VALUES (29, 3, 'kubetuna:message', '"pruned"');
INSERT INTO public.trial_system_attributes VALUES (30, 4, 'kubetuna:ordinal', '3');
INSERT INTO public.trial_system_attributes VALUES (52, 5, 'kubetuna:outcome', '"Pruned"');
INSERT INTO public.trial_system_attributes VALUES (53, 5, 'kubetuna:message', '"pruned"');
INSERT INTO public.trial_system_attributes VALUES (54, 6, 'kubetuna:ordinal', '5');
INSERT INTO public.trial_system_attributes VALUES (33, 4, 'kubetuna:log', '{"attempt": 1, "cursor": "92", "curve": {"ordinal": 2, "last": 1, "latest": {"loss": 0.505625, "extra": 0.375}}, "repeat": 1}');
INSERT INTO public.trial_system_attributes VALUES (31, 4, 'kubetuna:attempts', '[{"number": 0, "created": 1795663698.2295592, "params_hash": "c7dd4bbc49a07ff0", "started": 1795663698.4420834, "ended": 1795663698.5970762, "exit_code": 0, "node": "laptop", "outcome": "Succeeded"}, {"number": 1, "created": 1795663698.5993226, "params_hash": "c7dd4bbc49a07ff0", "started": 1795663698.6922488, "ended": 1795663698.755817, "exit_code": 0, "node": "laptop", "outcome": "Succeeded", "repeat": 1}]');
INSERT INTO public.trial_system_attributes VALUES (36, 4, 'kubetuna:repeats', '[{"loss": 0.505625, "extra": 0.375}, {"loss": 0.505625, "extra": 0.375}]');
INSERT INTO public.trial_system_attributes VALUES (41, 4, 'kubetuna:metrics', '{"loss": 0.505625, "extra": 0.375}');
INSERT INTO public.trial_system_attributes VALUES (42, 4, 'kubetuna:outcome', '"Succeeded"');
INSERT INTO public.trial_system_attributes VALUES (43, 4, 'kubetuna:message', '""');
INSERT INTO public.trial_system_attributes VALUES (44, 5, 'kubetuna:ordinal', '4');
INSERT INTO public.trial_system_attributes VALUES (57, 6, 'kubetuna:log', '{"attempt": 1, "cursor": "140", "curve": {"ordinal": 2, "last": 1, "latest": {"loss": 0.5214359742562467, "extra": 0.44641029422908307}}, "repeat": 1}');
INSERT INTO public.trial_system_attributes VALUES (55, 6, 'kubetuna:attempts', '[{"number": 0, "created": 1795663699.1143425, "params_hash": "65035c001abe0176", "started": 1795663699.230637, "ended": 1795663699.4243531, "exit_code": 0, "node": "laptop", "outcome": "Succeeded"}, {"number": 1, "created": 1795663699.4280872, "params_hash": "65035c001abe0176", "started": 1795663699.5995278, "ended": 1795663699.8123732, "exit_code": 0, "node": "laptop", "outcome": "Succeeded", "repeat": 1}]');
INSERT INTO public.trial_system_attributes VALUES (59, 6, 'kubetuna:repeats', '[{"loss": 0.5214359742562467, "extra": 0.44641029422908307}, {"loss": 0.5214359742562467, "extra": 0.44641029422908307}]');
INSERT INTO public.trial_system_attributes VALUES (64, 6, 'kubetuna:metrics', '{"loss": 0.5214359742562467, "extra": 0.44641029422908307}');
INSERT INTO public.trial_system_attributes VALUES (65, 6, 'kubetuna:outcome', '"Succeeded"');
INSERT INTO public.trial_system_attributes VALUES (66, 6, 'kubetuna:message', '""');
INSERT INTO public.trial_user_attributes VALUES (1, 1, 'loss', '0.54');
INSERT INTO public.trial_user_attributes VALUES (2, 1, 'extra', '0.5');
INSERT INTO public.trial_user_attributes VALUES (3, 3, 'loss', '10.0');
INSERT INTO public.trial_user_attributes VALUES (4, 3, 'extra', '0.75');
INSERT INTO public.trial_user_attributes VALUES (5, 4, 'loss', '0.505625');
INSERT INTO public.trial_user_attributes VALUES (6, 4, 'extra', '0.375');
INSERT INTO public.trial_user_attributes VALUES (7, 5, 'loss', '10.0');
INSERT INTO public.trial_user_attributes VALUES (8, 5, 'extra', '0.35419154715486234');
INSERT INTO public.trial_user_attributes VALUES (9, 6, 'loss', '0.5214359742562467');
INSERT INTO public.trial_user_attributes VALUES (10, 6, 'extra', '0.44641029422908307');
INSERT INTO public.trial_values VALUES (1, 1, 0, 0.54, 'FINITE');
INSERT INTO public.trial_values VALUES (2, 3, 0, 10, 'FINITE');
INSERT INTO public.trial_values VALUES (3, 4, 0, 0.505625, 'FINITE');
INSERT INTO public.trial_values VALUES (4, 5, 0, 10, 'FINITE');
INSERT INTO public.trial_values VALUES (5, 6, 0, 0.5214359742562467, 'FINITE');
INSERT INTO public.trials VALUES (1, 0, 1, 'COMPLETE', '2026-11-26 03:28:17.076157', '2026-11-26 03:28:17.631481');
INSERT INTO public.trials VALUES (2, 1, 1, 'FAIL', '2026-11-26 03:28:17.640901', '2026-11-26 03:28:17.896073');
INSERT INTO public.trials VALUES (3, 2, 1, 'PRUNED', '2026-11-26 03:28:17.89629', '2026-11-26 03:28:18.230604');
INSERT INTO public.trials VALUES (4, 3, 1, 'COMPLETE', '2026-11-26 03:28:18.230963', '2026-11-26 03:28:18.759692');
INSERT INTO public.trials VALUES (5, 4, 1, 'PRUNED', '2026-11-26 03:28:18.759907', '2026-11-26 03:28:19.115379');
INSERT INTO public.trials VALUES (6, 5, 1, 'COMPLETE', '2026-11-26 03:28:19.115573', '2026-11-26 03:28:19.8149');
INSERT INTO public.version_info VALUES (1, 12, '5.0.0');
SELECT pg_catalog.setval('public.studies_study_id_seq', 1, true);
SELECT pg_catalog.setval('public.study_directions_study_direction_id_seq', 1, true);
SELECT pg_catalog.setval('public.study_system_attributes_study_system_attribute_id_seq', 6, true);
SELECT pg_catalog.setval('public.study_user_attributes_study_user_attribute_id_seq', 1, false);
SELECT pg_catalog.setval('public.trial_heartbeats_trial_heartbeat_id_seq', 1, false);
SELECT pg_catalog.setval('public.trial_intermediate_values_trial_intermediate_value_id_seq', 8, true);
SELECT pg_catalog.setval('public.trial_params_param_id_seq', 12, true);
SELECT pg_catalog.setval('public.trial_system_attributes_trial_system_attribute_id_seq', 66, true);
SELECT pg_catalog.setval('public.trial_user_attributes_trial_user_attribute_id_seq', 10, true);
SELECT pg_catalog.setval('public.trial_values_trial_value_id_seq', 5, true);
SELECT pg_catalog.setval('public.trials_trial_id_seq', 6, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.studies
    ADD CONSTRAINT studies_pkey PRIMARY KEY (study_id);
ALTER TABLE ONLY public.study_directions
    ADD CONSTRAINT study_directions_pkey PRIMARY KEY (study_direction_id);
ALTER TABLE ONLY public.study_directions
    ADD CONSTRAINT study_directions_study_id_objective_key UNIQUE (study_id, objective);
ALTER TABLE ONLY public.study_system_attributes
    ADD CONSTRAINT study_system_attributes_pkey PRIMARY KEY (study_system_attribute_id);
ALTER TABLE ONLY public.study_system_attributes
    ADD CONSTRAINT study_system_attributes_study_id_key_key UNIQUE (study_id, key);
ALTER TABLE ONLY public.study_user_attributes
    ADD CONSTRAINT study_user_attributes_pkey PRIMARY KEY (study_user_attribute_id);
ALTER TABLE ONLY public.study_user_attributes
    ADD CONSTRAINT study_user_attributes_study_id_key_key UNIQUE (study_id, key);
ALTER TABLE ONLY public.trial_heartbeats
    ADD CONSTRAINT trial_heartbeats_pkey PRIMARY KEY (trial_heartbeat_id);
ALTER TABLE ONLY public.trial_heartbeats
    ADD CONSTRAINT trial_heartbeats_trial_id_key UNIQUE (trial_id);
ALTER TABLE ONLY public.trial_intermediate_values
    ADD CONSTRAINT trial_intermediate_values_pkey PRIMARY KEY (trial_intermediate_value_id);
ALTER TABLE ONLY public.trial_intermediate_values
    ADD CONSTRAINT trial_intermediate_values_trial_id_step_key UNIQUE (trial_id, step);
ALTER TABLE ONLY public.trial_params
    ADD CONSTRAINT trial_params_pkey PRIMARY KEY (param_id);
ALTER TABLE ONLY public.trial_params
    ADD CONSTRAINT trial_params_trial_id_param_name_key UNIQUE (trial_id, param_name);
ALTER TABLE ONLY public.trial_system_attributes
    ADD CONSTRAINT trial_system_attributes_pkey PRIMARY KEY (trial_system_attribute_id);
ALTER TABLE ONLY public.trial_system_attributes
    ADD CONSTRAINT trial_system_attributes_trial_id_key_key UNIQUE (trial_id, key);
ALTER TABLE ONLY public.trial_user_attributes
    ADD CONSTRAINT trial_user_attributes_pkey PRIMARY KEY (trial_user_attribute_id);
ALTER TABLE ONLY public.trial_user_attributes
    ADD CONSTRAINT trial_user_attributes_trial_id_key_key UNIQUE (trial_id, key);
ALTER TABLE ONLY public.trial_values
    ADD CONSTRAINT trial_values_pkey PRIMARY KEY (trial_value_id);
ALTER TABLE ONLY public.trial_values
    ADD CONSTRAINT trial_values_trial_id_objective_key UNIQUE (trial_id, objective);
ALTER TABLE ONLY public.trials
    ADD CONSTRAINT trials_pkey PRIMARY KEY (trial_id);
ALTER TABLE ONLY public.version_info
    ADD CONSTRAINT version_info_pkey PRIMARY KEY (version_info_id);
CREATE UNIQUE INDEX ix_studies_study_name ON public.studies USING btree (study_name);
CREATE INDEX ix_trials_study_id ON public.trials USING btree (study_id);
ALTER TABLE ONLY public.study_directions
    ADD CONSTRAINT study_directions_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id);
ALTER TABLE ONLY public.study_system_attributes
    ADD CONSTRAINT study_system_attributes_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id);
ALTER TABLE ONLY public.study_user_attributes
    ADD CONSTRAINT study_user_attributes_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id);
ALTER TABLE ONLY public.trial_heartbeats
    ADD CONSTRAINT trial_heartbeats_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);
ALTER TABLE ONLY public.trial_intermediate_values
    ADD CONSTRAINT trial_intermediate_values_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);
ALTER TABLE ONLY public.trial_params
    ADD CONSTRAINT trial_params_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);
ALTER TABLE ONLY public.trial_system_attributes
    ADD CONSTRAINT trial_system_attributes_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);
ALTER TABLE ONLY public.trial_user_attributes
    ADD CONSTRAINT trial_user_attributes_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);
ALTER TABLE ONLY public.trial_values
    ADD CONSTRAINT trial_values_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES public.trials(trial_id);
ALTER TABLE ONLY public.trials
    ADD CONSTRAINT trials_study_id_fkey FOREIGN KEY (study_id) REFERENCES public.studies(study_id);
