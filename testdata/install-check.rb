# install-check.rb FORMULA DIST VERSION: evaluates a Homebrew formula for each system and
# processor as Homebrew does, and installs what it names from DIST into a clean folder.
require 'digest'
require 'fileutils'
require 'tmpdir'
require 'zlib'

FORMULA, DIST, VERSION = ARGV
HERE = [RUBY_PLATFORM.include?('darwin') ? :macos : :linux, RUBY_PLATFORM =~ /arm64|aarch64/ ? :arm : :intel].freeze

# Formula has what the file uses of Homebrew's class.
class Formula
  class << self
    # A formula is a class of its own, and its facts are those of this one.
    def system = Formula.instance_variable_get(:@system)
    def cpu = Formula.instance_variable_get(:@cpu)
    def facts = Formula.instance_variable_get(:@facts)
    def on(system, cpu) = (@system, @cpu, @facts = system, cpu, {})
    %w[desc homepage version license url sha256].each { |name| define_method(name) { |*v| v.empty? ? facts.fetch(name) : facts[name] = v[0] } }
    %i[macos linux].each { |s| define_method("on_#{s}") { |&b| b.call if system == s } }
    %i[arm intel].each { |c| define_method("on_#{c}") { |&b| b.call if cpu == c } }
    def test(&block) = @test = block
    def tested = @test
  end
  attr_reader :prefix

  def initialize(prefix) = @prefix = prefix
  def version = self.class.version
  def bin = Bin.new(File.join(prefix, 'bin'))
  def man1 = File.join(prefix, 'share/man/man1').tap { |d| FileUtils.mkdir_p(d) }
  def testpath = Bin.new(prefix)
  def system(*args) = Kernel.system(*args) || abort("#{args.join(' ')} failed")

  def generate_completions_from_executable(exe, *args)
    %w[bash zsh fish].each { |s| abort("no completion for #{s}") if shell_output("#{exe} #{args.join(' ')} #{s}").lines.size < 10 }
  end

  def shell_output(command, code = 0)
    out = Dir.chdir(prefix) { `#{command}` }
    $?.exitstatus == code ? out : abort("#{command}: exit #{$?.exitstatus}\n#{out}")
  end

  def assert_match(want, got) = got.include?(want) || abort("no #{want} in\n#{got}")
end

# Bin is a folder with Homebrew's two methods.
Bin = Struct.new(:path) do
  def /(other) = Bin.new(File.join(path, other))
  def to_s = path
  def to_str = path
  def write(text) = File.write(path, text)

  def install(names)
    FileUtils.mkdir_p(path)
    names.each { |from, to| FileUtils.install(from, File.join(path, to), mode: 0o755) }
  end
end

%i[macos linux].product(%i[arm intel]).each do |system, cpu|
  Formula.on(system, cpu)
  Object.send(:remove_const, :Quell) if defined?(Quell)
  load FORMULA
  url = Quell.url
  abort("#{url} is not of #{VERSION}") unless url.include?("/v#{VERSION}/")
  file = File.join(DIST, File.basename(url))
  abort("#{file}: another checksum") unless Digest::SHA256.file(file).hexdigest == Quell.sha256
  next unless [system, cpu] == HERE

  Dir.mktmpdir do |dir|
    ENV['HOME'] = dir
    Dir.mkdir(File.join(dir, 'source'))
    Dir.chdir(File.join(dir, 'source')) do
      Zlib::GzipReader.open(file) { |z| File.binwrite(File.basename(file, '.gz'), z.read) }
      formula = Quell.new(dir)
      formula.install
      abort('no manual pages') unless File.exist?(File.join(dir, 'share/man/man1/quell-scan-log.1'))
      formula.instance_eval(&Quell.tested)
    end
  end
end
puts "#{FORMULA}: four systems, installed on this one"
