# Rails with its cookie store, or with a store on the server (STORE=cache_store).
require 'action_controller/railtie'
require 'rack/handler/webrick'

class App < Rails::Application
  config.eager_load = false
  config.hosts.clear
  config.secret_key_base = 'made-up' * 10
  config.logger = Logger.new($stderr, level: Logger::ERROR)
  config.cache_store = :memory_store
  config.session_store (ENV['STORE'] || 'cookie_store').to_sym, key: '_app_session'
  routes.append do
    post '/login', to: 'sessions#create'
    get '/login', to: 'sessions#new'
    get '/me', to: 'sessions#show'
    post '/logout', to: 'sessions#destroy'
  end
end

class SessionsController < ActionController::Base
  protect_from_forgery with: :exception, except: :create

  def create
    reset_session
    session[:user] = params[:user] || 'alice'
    render plain: 'ok'
  end

  def new
    render plain: 'sign in'
  end

  def show
    return redirect_to('/login') unless session[:user]

    render inline: '<html><head><%= csrf_meta_tags %></head><p><%= session[:user] %></p></html>'
  end

  def destroy
    reset_session
    redirect_to '/login'
  end
end

ENV['RAILS_ENV'] = 'production'
App.initialize!
Rack::Handler::WEBrick.run(App, Host: '127.0.0.1', Port: ENV.fetch('PORT').to_i, AccessLog: [], Logger: WEBrick::Log.new($stderr, WEBrick::Log::ERROR))
